"""Whole configurations by name: the only place where the parts meet."""
