"""Headrace's own recognisers: what each finds, a file a kind."""
