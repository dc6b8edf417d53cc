"""The gauntlet's model half: faults planted into trainings of tiny models, and what is said of them."""
