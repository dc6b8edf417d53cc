"""Rows of a prepared run that are drawn for somebody: for people to rate, or to train on fewer."""
