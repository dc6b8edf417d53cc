"""What two models said to the same prompts, kept whole, and which of them people, or a model, prefer."""
