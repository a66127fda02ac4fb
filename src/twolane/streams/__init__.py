"""Streams: a source read chunk by chunk into ``send_batch()``, never whole."""
