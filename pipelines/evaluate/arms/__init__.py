"""What the tuned model is held against: its base, alone and helped by its prompt, and other models."""
