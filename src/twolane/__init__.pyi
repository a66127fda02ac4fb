from twolane._about import about
from twolane.aio.safe_producer import AsyncSafeProducer
from twolane.aio.throughput_producer import AsyncThroughputProducer
from twolane.common.by_topic import TopicColumn, TopicsMetadata
from twolane.encoding.time.times import Timestamps
from twolane.encoding.time.timestamps import pack_timestamps
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
    TaskError,
    TimestampError,
    TransactionError,
    TwolaneError,
    Verdict,
)
from twolane.results import BatchMetadata, RecordMetadata, TimestampType
from twolane.safe.producer import SafeProducer
from twolane.serializers import Avro, Bytes, Json, Protobuf, Struct
from twolane.stats import Stats
from twolane.streams.control import StreamControl
from twolane.streams.summary import StreamSummary
from twolane.throughput.batch_delivery import BatchDelivery
from twolane.throughput.delivery import RecordDelivery
from twolane.throughput.producer import ThroughputProducer

__all__ = [
    "AsyncSafeProducer",
    "AsyncThroughputProducer",
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
    "Protobuf",
    "QueueFullError",
    "RecordDelivery",
    "RecordMetadata",
    "SafeProducer",
    "SerializationError",
    "Stats",
    "StreamControl",
    "StreamSummary",
    "Struct",
    "TaskError",
    "ThroughputProducer",
    "TimestampError",
    "TimestampType",
    "Timestamps",
    "TopicColumn",
    "TopicsMetadata",
    "TransactionError",
    "TwolaneError",
    "Verdict",
    "about",
    "pack_timestamps",
]
__version__: str
