"""What a recipe may ask for beside its training and evaluation: trainings with other seeds, a judge."""
