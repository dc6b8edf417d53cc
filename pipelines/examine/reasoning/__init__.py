"""Reasoning traces, beside what the model's chat template makes of them."""
