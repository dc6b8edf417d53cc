"""Names found by a model."""
