"""Two lanes into Kafka: a producer that keeps its word, and one that runs at librdkafka's own speed.

A name is imported when it is first used (PEP 562): ``import twolane`` alone loads neither numpy nor librdkafka.
"""

from importlib import import_module

# Where each public name lives; __init__.pyi says the same to type checkers, and stubtest compares the two.
_HOMES = {
    "twolane._about": ("about",),
    "twolane.aio.safe_producer": ("AsyncSafeProducer",),
    "twolane.aio.throughput_producer": ("AsyncThroughputProducer",),
    "twolane.throughput.batch_delivery": ("BatchDelivery",),
    "twolane.throughput.delivery": ("RecordDelivery",),
    "twolane.common.by_topic": ("TopicColumn", "TopicsMetadata"),
    "twolane.encoding.time.times": ("Timestamps",),
    "twolane.encoding.time.timestamps": ("pack_timestamps",),
    "twolane.errors": (
        "BatchError",
        "ClosedProducerError",
        "ConfigError",
        "DeliveryError",
        "FatalProducerError",
        "ForkedProducerError",
        "LibraryError",
        "QueueFullError",
        "SerializationError",
        "TaskError",
        "TimestampError",
        "TransactionError",
        "TwolaneError",
        "Verdict",
    ),
    "twolane.results": ("BatchMetadata", "RecordMetadata", "TimestampType"),
    "twolane.safe.producer": ("SafeProducer",),
    "twolane.serializers": ("Avro", "Bytes", "Json", "Protobuf", "Struct"),
    "twolane.stats": ("Stats",),
    "twolane.streams.control": ("StreamControl",),
    "twolane.streams.summary": ("StreamSummary",),
    "twolane.throughput.producer": ("ThroughputProducer",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name == "__version__":
        value: object = _version()
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def _version() -> str:
    """Return the installed version; pyproject.toml is the one place where it is written."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("twolane")
    except PackageNotFoundError:  # run from a source tree that was built in place
        return "0+unknown"
