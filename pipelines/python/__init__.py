"""Python's door, which `import headrace` gives: whole runs, and stages over texts in memory."""
