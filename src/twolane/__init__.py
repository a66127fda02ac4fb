"""Two lanes into Kafka: a producer that keeps its word, and one that runs at librdkafka's own speed."""

from importlib.metadata import PackageNotFoundError, version

from twolane.delivery import BatchDelivery
from twolane.encoding.timestamps import pack_timestamps
from twolane.errors import (
    BatchError,
    ClosedProducerError,
    ConfigError,
    DeliveryError,
    FatalProducerError,
    ForkedProducerError,
    LibraryError,
    QueueFullError,
    SerializationError,
    TimestampError,
    TransactionError,
    TwolaneError,
    Verdict,
)
from twolane.records import BatchMetadata, RecordMetadata, TimestampType
from twolane.safe import SafeProducer
from twolane.serializers import Avro, Bytes, Json, Struct
from twolane.stats import Stats
from twolane.throughput import ThroughputProducer

try:
    __version__ = version("twolane")
except PackageNotFoundError:  # run from a source tree that was built in place
    __version__ = "0+unknown"

__all__ = [
    "Avro",
    "BatchDelivery",
    "BatchError",
    "BatchMetadata",
    "Bytes",
    "ClosedProducerError",
    "ConfigError",
    "DeliveryError",
    "FatalProducerError",
    "ForkedProducerError",
    "Json",
    "LibraryError",
    "QueueFullError",
    "RecordMetadata",
    "SafeProducer",
    "SerializationError",
    "Stats",
    "Struct",
    "ThroughputProducer",
    "TimestampError",
    "TimestampType",
    "TransactionError",
    "TwolaneError",
    "Verdict",
    "pack_timestamps",
]
