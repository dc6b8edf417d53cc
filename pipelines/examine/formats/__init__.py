"""Structured answers, parsed whole: valid, right at first and then broken, or broken from the start."""
