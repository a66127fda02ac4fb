"""Times, in any unit and zone."""
