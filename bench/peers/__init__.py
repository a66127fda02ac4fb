"""What others send the same records with, each in a process of its own; `CONTENDERS` lists them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contender import Contender
from bench.peers import golang, jvm
from bench.peers.harness import missing

if TYPE_CHECKING:
    from collections.abc import Callable

FRANZ_GO = Path(__file__).with_name("franz_go")
# Names as they are in tables. The modules of the clients are imported in the contenders' own processes only.
PRODUCE, CALLBACK = "confluent-kafka produce", "confluent-kafka produce, callback"
BATCH, ASYNC = "confluent-kafka produce_batch", "confluent-kafka AIOProducer"
AVRO, JSON = "rows, confluent AvroSerializer, produce", "rows, orjson, produce"
AIOKAFKA, KAFKA_PYTHON = "aiokafka send", "kafka-python send"
ARROW, GO, JAVA = "arrow-kafka-pyo3", "franz-go Produce", "Java send"
# Records after which a just-in-time compiler has seen enough: the CPU time per record falls no further.
JAVA_WARMUP = 1_000_000


def _python(module: str, name: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, "-m", f"bench.peers.{module}", name]


def _needs(*modules: str) -> Callable[[], str | None]:
    return lambda: missing(*modules)


_BOTH = ("pipeline", "wait")
_REGISTRY = ("confluent_kafka", "fastavro", "orjson", "authlib", "cachetools", "httpx2", "attrs")
CONTENDERS = (
    Contender(PRODUCE, _python("confluent", PRODUCE), modes=_BOTH, lacks=("acknowledged",)),
    Contender(CALLBACK, _python("confluent", CALLBACK)),
    Contender(BATCH, _python("confluent", BATCH), lacks=("timestamp",)),
    Contender(ASYNC, _python("confluent", ASYNC), modes=_BOTH, lacks=("timestamp",)),
    Contender(AVRO, _python("confluent", AVRO), _needs(*_REGISTRY), data=("avro",)),
    Contender(JSON, _python("confluent", JSON), _needs("orjson"), data=("avro",), lacks=("avro",)),
    Contender(
        ARROW,
        _python("arrow", ARROW),
        _needs("arrow_kafka_pyo3", "pyarrow"),
        data=("avro",),
        lacks=("key", "timestamp", "partition", "acknowledged"),
    ),
    Contender(AIOKAFKA, _python("pure", AIOKAFKA), _needs("aiokafka"), modes=_BOTH),
    # These do not speak with librdkafka's mock brokers.
    Contender(KAFKA_PYTHON, _python("pure", KAFKA_PYTHON), _needs("kafka"), modes=_BOTH, on_embedded=False),
    Contender(GO, lambda: [str(golang.build(FRANZ_GO))], golang.missing, modes=_BOTH, on_embedded=False),
    Contender(JAVA, jvm.command, jvm.missing, modes=_BOTH, on_embedded=False, warmup=JAVA_WARMUP),
)
