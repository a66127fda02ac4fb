"""Records of fixed layout."""
