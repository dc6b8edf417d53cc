"""Leaks: rows that hold items of evaluation sets."""
