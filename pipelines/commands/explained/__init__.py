"""What `explain` shows of one row: what cleaning made of it, and what the chat template strips."""
