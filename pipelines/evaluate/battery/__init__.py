"""Questions that a model should still answer after tuning, in words of this project, and what checks them."""
