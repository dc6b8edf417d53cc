"""Files as people have them: packed, in archives, in encodings of their own, beside what is no data."""
