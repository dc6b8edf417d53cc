"""Puts stand-ins in the place of what was found."""
