"""What pass 2 needs to know of a row without its text."""
