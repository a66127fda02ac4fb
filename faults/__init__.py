"""Faults at scale: a campaign on real brokers, and the checkers that hold twolane to its promises. Not in the wheel."""
