"""Rows to token ids and labels, by the chat template of the model."""
