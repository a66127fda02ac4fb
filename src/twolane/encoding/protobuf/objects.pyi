WRAPPERS: frozenset[str]
