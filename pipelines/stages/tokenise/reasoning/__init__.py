"""Reasoning in rows and in chat templates: told apart, converted, and learned as the model is asked."""
