"""What of a topic's settings breaks promises, each with its cure: said by the safe lane, and by ``twolane check``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from twolane._units import DAY_NS, MS_NS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Below these one broken broker can lose an acknowledged record, whatever the producer does.
REPLICATION, MIN_INSYNC = 3, 2
# A topic's retention below this empties it of records with old times at once.
SHORT_RETENTION_MS = DAY_NS // MS_NS
# What a request holds beside the values and keys of its records.
REQUEST_OVERHEAD = 1_000


@dataclass(frozen=True)
class Finding:
    """Something that breaks a promise, or surprises.

    Attributes
    ----------
    level : {"problem", "note"}
        A note is what may be intended.
    text, cure : str
    """

    level: Literal["problem", "note"]
    text: str
    cure: str


def alter(topic: str, setting: str) -> str:
    """Return the command that changes a topic's setting."""
    return f"kafka-configs.sh --bootstrap-server ... --alter --topic {topic} --add-config {setting}"


def of_replicas(topic: str, replicas: int) -> Iterator[Finding]:
    """Yield what is wrong with how many replicas the least replicated partition has."""
    if replicas < REPLICATION:
        yield Finding(
            "problem",
            f"topic {topic!r} has {replicas} replicas: with fewer than {REPLICATION}, losing brokers loses records",
            f"kafka-reassign-partitions.sh, or make it anew with --replication-factor {REPLICATION}",
        )


def of_durability(topic: str, found: Mapping[str, str]) -> Iterator[Finding]:
    """Yield which of a topic's settings let brokers lose records that they acknowledged."""
    in_sync = int(found.get("min.insync.replicas") or 1)
    if in_sync < MIN_INSYNC:
        yield Finding(
            "problem",
            f"topic {topic!r} has min.insync.replicas={in_sync}: one broker may acknowledge alone",
            alter(topic, f"min.insync.replicas={MIN_INSYNC}"),
        )
    if _is_true(found, "unclean.leader.election.enable"):
        yield Finding(
            "problem",
            f"topic {topic!r} has unclean.leader.election.enable=true: acknowledged records may be dropped",
            alter(topic, "unclean.leader.election.enable=false"),
        )


def of_availability(topic: str, found: Mapping[str, str], replicas: int) -> Iterator[Finding]:
    """Yield when ``acks=all`` cannot be answered."""
    in_sync = int(found.get("min.insync.replicas") or 1)
    if in_sync > replicas:
        yield Finding(
            "problem",
            f"topic {topic!r} has min.insync.replicas={in_sync} and {replicas} replicas: acks=all is never answered",
            alter(topic, f"min.insync.replicas={max(1, replicas - 1)}"),
        )
    elif in_sync == replicas > 1:
        yield Finding(
            "note",
            f"topic {topic!r} has min.insync.replicas={in_sync} of {replicas} replicas: one broker down stops acks=all",
            alter(topic, f"min.insync.replicas={replicas - 1}"),
        )


def of_content(topic: str, found: Mapping[str, str], producer: Mapping[str, str]) -> Iterator[Finding]:
    """Yield which of a topic's settings refuse or change records of a producer with these settings."""
    largest = int(found.get("max.message.bytes") or 2**31)
    for name in ("message.max.bytes", "batch.size"):
        if int(producer[name]) > largest + REQUEST_OVERHEAD:
            yield Finding(
                "problem",
                f"topic {topic!r} has max.message.bytes={largest}, below the producer's {name}={producer[name]}: "
                "whole requests are refused (MSG_SIZE_TOO_LARGE)",
                f"{alter(topic, f'max.message.bytes={producer[name]}')}, or -X {name}={largest}",
            )
    if found.get("message.timestamp.type") == "LogAppendTime":
        yield Finding(
            "note",
            f"topic {topic!r} has message.timestamp.type=LogAppendTime: brokers replace the times that are sent",
            alter(topic, "message.timestamp.type=CreateTime"),
        )
    if "compact" in found.get("cleanup.policy", ""):
        yield Finding(
            "note",
            f"topic {topic!r} has cleanup.policy={found['cleanup.policy']}: records without a key are refused",
            "give each record a key",
        )
    retention = int(found.get("retention.ms") or -1)
    if 0 <= retention < SHORT_RETENTION_MS and "delete" in found.get("cleanup.policy", "delete"):
        yield Finding(
            "note",
            f"topic {topic!r} has retention.ms={retention}: records last {retention / 1000:.0f} s by their own time",
            alter(topic, f"retention.ms={7 * SHORT_RETENTION_MS}"),
        )
    codec = found.get("compression.type", "producer")
    if codec not in ("producer", producer.get("compression.type", "none")):
        yield Finding(
            "note",
            f"topic {topic!r} has compression.type={codec}: brokers compress again what the producer sends",
            f"-X compression.type={codec}",
        )


def of_producer(producer: Mapping[str, str]) -> Iterator[Finding]:
    """Yield which of a producer's settings weaken what the cluster could promise."""
    if producer["acks"] not in ("all", "-1"):
        yield Finding(
            "problem", f"acks={producer['acks']}: a leader that fails loses acknowledged records", "-X acks=all"
        )
    if not _is_true(producer, "enable.idempotence"):
        yield Finding(
            "note",
            "enable.idempotence=false: a retry may write a record twice, or behind later ones",
            "-X enable.idempotence=true",
        )


def _is_true(settings: Mapping[str, str], name: str) -> bool:
    return (settings.get(name) or "false").lower() == "true"
