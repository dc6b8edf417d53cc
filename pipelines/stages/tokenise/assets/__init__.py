"""Files that ship with headrace, and the scripts that made them."""
