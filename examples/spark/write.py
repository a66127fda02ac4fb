"""A DataFrame into a topic, and how it went: ``KAFKA_BOOTSTRAP_SERVERS=localhost:9092 python write.py``."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

import twolane.spark


def write_flights(flights: DataFrame, servers: str, topic: str, report: Path) -> dict[str, object]:
    """Write rows with the plane as their key, each plane's in order, and return what became of them."""
    ordered = flights.repartition(2, "tailnum").sortWithinPartitions("time_hour")
    writer = ordered.write.format("twolane").mode("append")
    writer = writer.option("kafka.bootstrap.servers", servers).option("topic", topic)
    writer = writer.option("key", "tailnum").option("timestamp", "time_hour").option("serializer", "avro")
    writer.option("report", str(report)).save()
    return json.loads(report.read_text())


def main() -> None:
    """Start Spark, write a few flights, and print the report."""
    spark = SparkSession.builder.master("local[2]").getOrCreate()
    twolane.spark.register(spark)
    flights = spark.range(1000).selectExpr(
        "concat('N', id % 7) AS tailnum", "timestamp_seconds(1356998400 + id * 60) AS time_hour", "id AS distance"
    )
    with tempfile.TemporaryDirectory() as folder:
        servers = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
        print(json.dumps(write_flights(flights, servers, "flights", Path(folder, "report.json")), indent=2))
    spark.stop()


if __name__ == "__main__":
    main()
