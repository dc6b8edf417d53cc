"""A side of the split for every row, the same for all of a cluster."""
