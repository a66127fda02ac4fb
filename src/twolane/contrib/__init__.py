"""Bridges to what watches services: each needs a package of its own, see the extras."""
