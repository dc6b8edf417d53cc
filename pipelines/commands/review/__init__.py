"""People say which of two models' answers is the better one, without knowing whose it is."""
