"""A contender of confluent-kafka's producer that cheats in one way: ``cheat.py HOW TASK``."""

from __future__ import annotations

import sys
import time

from confluent_kafka import Producer

from bench.contender import Clock, Records, Result, Task


def main() -> None:
    how, task = sys.argv[1], Task.from_argv()
    if how == "crashes":
        sys.exit("no such library")
    if how == "hangs":
        time.sleep(60)
    records = Records.of(task, 0, task.warmup + task.records)
    keys = records.keys or [None] * len(records.values)
    rows = list(zip(records.values, keys, records.partitions, records.timestamps, strict=True))
    producer = Producer({**task.librdkafka(), "log_level": 0})
    clock = Clock()
    for number, (value, key, partition, timestamp) in enumerate(rows):
        last = number == len(rows) - 1
        if last and how == "loses one":
            continue
        if last and how == "changes a value":
            value = value[:-1] + b"!"
        if last and how == "changes a key":
            key = b"key-none"
        if last and how == "changes a time":
            timestamp += 1
        if how == "swaps two" and number in (task.warmup, task.warmup + task.partitions):
            value = rows[task.warmup if number != task.warmup else task.warmup + task.partitions][0]
        if how == "one partition":
            partition = 0
        producer.produce(task.topic, value, key, partition=partition, timestamp=timestamp)
        if last and how == "sends one twice":
            producer.produce(task.topic, value, key, partition=partition, timestamp=timestamp)
    producer.flush(30)
    failed = 1 if how == "has a failure" else 0
    if how == "prints nothing":
        return
    print("a line before the result")
    print(Result(records=task.records - failed, failed=failed, **clock.stop()).to_json())


if __name__ == "__main__":
    main()
