"""Runs held against each other, sample by sample."""
