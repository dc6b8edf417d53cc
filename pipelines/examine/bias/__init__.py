"""How often groups of people are named, and how answers differ with them."""
