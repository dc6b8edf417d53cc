"""Repairs texts and turns."""
