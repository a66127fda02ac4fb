"""twolane.confluent.drop_in: frameworks then take twolane's Producer from confluent_kafka, to the same end."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.support.readers import read_all

# The calls that Ray's KafkaDatasink.write() and FastStream's AsyncConfluentProducer make of a Producer.
FRAMEWORK = """
import json, logging, sys, threading
import twolane.confluent.drop_in
from confluent_kafka import KafkaException, Message, Producer

bootstrap = sys.argv[1]
failed = []

def on_delivery(err, msg):  # Ray
    if err is not None:
        failed.append(KafkaException(err))

producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "acks": "all"})
for i in range(100):
    producer.produce("orders", value=json.dumps({"id": i}).encode(), key=str(i).encode(), on_delivery=on_delivery)
    if i % 10 == 0:
        producer.poll(0)
assert producer.flush(timeout=30) == 0

told = []
producer = Producer({"bootstrap.servers": bootstrap}, logger=logging.getLogger("framework"))  # FastStream
polling = threading.Event()

def poll():
    while not polling.is_set():
        producer.poll(timeout=0.1)

thread = threading.Thread(target=poll)
thread.start()
done = threading.Event()

def ack(err, msg):
    told.append((err, isinstance(msg, Message), msg.offset()))
    done.set()

producer.produce(topic="orders", value=b"published", key=None, headers=[("a", b"b")], on_delivery=ack)
assert done.wait(30)
polling.set()
thread.join()
assert len(producer) == 0
print(json.dumps([Producer.__module__, len(failed), [str(err) for err, _, _ in told], told[0][1], told[0][2] >= 0]))
"""


def test_a_framework_writes_through_twolane(embedded_cluster):
    embedded_cluster.create_topic("orders", partitions=2)
    command = [sys.executable, "-c", FRAMEWORK, embedded_cluster.bootstrap_servers]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(ended.stdout) == ["twolane.confluent.producer", 0, ["None"], True, True]
    records = list(read_all(embedded_cluster.bootstrap_servers, "orders"))
    assert sorted(one.value for one in records if one.key is None) == [b"published"]
    assert {one.key: json.loads(one.value) for one in records if one.key} == {
        str(i).encode(): {"id": i} for i in range(100)
    }


UNDONE = """
import confluent_kafka
before = confluent_kafka.Producer
from twolane.confluent import Producer, drop_in
assert confluent_kafka.Producer is Producer
for _ in range(2):
    drop_in.undo()
    assert confluent_kafka.Producer is before
for _ in range(2):
    drop_in.replace()
    assert confluent_kafka.Producer is Producer
drop_in.undo()
assert confluent_kafka.Producer is before
drop_in.replace()
class Wrapped(Producer): ...
confluent_kafka.Producer = Wrapped  # as a package that traces calls does
drop_in.undo()
assert confluent_kafka.Producer is Wrapped
"""


def test_it_can_be_undone():
    subprocess.run([sys.executable, "-c", UNDONE], check=True, timeout=60)
