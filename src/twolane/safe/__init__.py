"""The safe lane."""
