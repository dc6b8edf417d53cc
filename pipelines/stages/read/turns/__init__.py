"""What stands in the place of turns, brought into one form: lists of mappings with a speaker and a text."""
