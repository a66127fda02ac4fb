"""Memory that records are encoded into."""
