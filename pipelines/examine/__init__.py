"""What looks at the whole set, between the search for duplicates and packing: a folder a check."""
