"""The throughput lane."""
