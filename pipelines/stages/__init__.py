"""What marks or changes rows: a folder or file a stage, named as its section of the recipe."""
