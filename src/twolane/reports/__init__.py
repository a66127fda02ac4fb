"""Delivery reports on their way out of librdkafka."""
