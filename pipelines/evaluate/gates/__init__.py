"""What fine-tuning breaks, one file a kind: a number, its interval, a threshold, and the rows."""
