"""How many different things a set asks."""
