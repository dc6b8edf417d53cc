"""Trains a LoRA adapter on packed rows."""
