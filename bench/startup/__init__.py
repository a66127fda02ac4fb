"""What importing twolane costs."""
