"""Rows with one prompt whose answers cannot both be right."""
