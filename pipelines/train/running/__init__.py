"""How a model is run over packed rows: its ranks, attention and loss, and the way that is proved right."""
