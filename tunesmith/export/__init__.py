"""Finished runs in other forms."""
