"""What is wrong with a tuned model, and what mends it."""
