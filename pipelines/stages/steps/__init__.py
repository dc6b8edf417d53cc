"""The user's own step: a function of a recipe's author, run inside the books."""
