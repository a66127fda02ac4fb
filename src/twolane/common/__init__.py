"""What both lanes share; it imports neither."""
