"""Scores the base model beside the tuned one."""
