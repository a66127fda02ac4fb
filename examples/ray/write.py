"""A dataset of Ray into a topic, and how it went: ``KAFKA_BOOTSTRAP_SERVERS=localhost:9092 python write.py``."""

from __future__ import annotations

import os
from typing import Any

import ray

from twolane.ray import KafkaDatasink, by_key


def flight(row: dict[str, Any]) -> dict[str, Any]:
    """Make a row of a number."""
    return {"tailnum": f"N{row['id'] % 7}", "minute": row["id"], "distance": row["id"]}


def write_flights(servers: str, topic: str) -> Any:
    """Write rows with the plane as their key, each plane's in order, and return what became of them."""
    flights = ray.data.range(1000).map(flight)
    sink = KafkaDatasink(topic, {"bootstrap.servers": servers}, key="tailnum", serializer="avro", order_by_key=True)
    by_key(flights, "tailnum", tasks=2, order_by="minute").write_datasink(sink)
    return sink.report


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False)
    print(write_flights(os.environ["KAFKA_BOOTSTRAP_SERVERS"], "flights"))
