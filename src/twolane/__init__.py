"""Two lanes into Kafka."""
