"""The demo: a real data set through both lanes, read back and compared. Run it with ``make demo``."""
