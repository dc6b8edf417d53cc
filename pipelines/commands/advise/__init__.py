"""What to do with a set: the numbers of a run or of a sample, and what is said of them."""
