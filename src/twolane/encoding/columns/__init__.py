"""Columns of any origin, read in place."""
