"""The gauntlet: faults planted into real sets, and what the product says of them."""
