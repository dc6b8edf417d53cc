"""The same over the files of a run, a Ray step a file."""
