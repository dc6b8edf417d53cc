"""Samples into packed rows of one length."""
