"""Rows whose label is likely wrong, in sets of many rows and few different answers."""
