"""The passes of a run: what the driver does, and what each worker does with one unit."""
