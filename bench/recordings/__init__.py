"""Recordings of the command on a terminal, as SVG: ``python -m bench.recordings``."""
