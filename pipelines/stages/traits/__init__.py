"""Traits of a row: its languages, task, form of the answer and reasoning, and what is odd about it."""
