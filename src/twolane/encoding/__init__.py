"""Encoding: values to bytes, times to milliseconds. Nothing in it knows Kafka."""
