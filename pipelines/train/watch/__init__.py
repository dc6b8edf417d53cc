"""What a training shows while it runs, and what is to be done about it."""
