"""A DataFrame of Dask into a topic, and how it went: ``KAFKA_BOOTSTRAP_SERVERS=localhost:9092 python write.py``."""

from __future__ import annotations

import os
from typing import Any

import dask.dataframe as dd
import pandas as pd

from twolane.dask import to_kafka


def write_flights(servers: str, topic: str) -> Any:
    """Write rows with the plane as their key, each plane's in order, and return what became of them."""
    rows = pd.DataFrame({"minute": range(1000), "distance": range(1000)})
    flights = dd.from_pandas(rows.assign(tailnum=[f"N{i % 7}" for i in rows["minute"]]), npartitions=2)
    return to_kafka(
        flights,
        topic,
        {"bootstrap.servers": servers},
        key="tailnum",
        serializer="avro",
        order_by_key=True,
        order_by="minute",
    )


if __name__ == "__main__":
    print(write_flights(os.environ["KAFKA_BOOTSTRAP_SERVERS"], "flights"))
