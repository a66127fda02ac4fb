"""What the hot loops execute, counted and not timed: a guard that the noise of a shared machine cannot touch."""
