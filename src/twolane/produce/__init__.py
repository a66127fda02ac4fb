"""Records on their way into librdkafka."""
