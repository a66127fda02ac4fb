"""The lanes beside the floor: a C loop over ``rd_kafka_produceva`` with ready bytes, in the same run."""
