"""``twolane load``: sources, formats, the state file, and what is shown meanwhile."""
