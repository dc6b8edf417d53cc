"""What renderings of a chat template say: where turns begin and end, what frames them, how calls are made."""
