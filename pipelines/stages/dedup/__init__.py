"""Exact and near duplicates, repeated passages, and what earlier runs hold."""
