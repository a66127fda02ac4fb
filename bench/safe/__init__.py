"""What the safe lane costs: against its own loop, confluent-kafka and a C loop, on real brokers."""
