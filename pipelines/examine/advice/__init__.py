"""What a set is fit for: a verdict with its reasons, values to start with, memory, cost."""
