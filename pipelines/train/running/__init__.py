"""How a model is run over packed rows: its attention, its loss, and the way that is proved right."""
