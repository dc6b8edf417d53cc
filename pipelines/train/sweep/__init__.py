"""Many trainings in search of better settings, over one preparation."""
