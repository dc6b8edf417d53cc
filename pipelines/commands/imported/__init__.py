"""Recipes from the files of other trainers."""
