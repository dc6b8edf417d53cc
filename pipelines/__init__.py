"""What happens to a row and in which order."""
