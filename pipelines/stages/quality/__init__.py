"""Scores every row and drops what cannot be worth learning."""
