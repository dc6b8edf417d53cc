"""Telephone numbers as the phonenumbers library finds them, faster."""
