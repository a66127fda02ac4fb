"""Kafka's murmur2 partitioner in plain Python, from the Java client's Utils.murmur2: independent of librdkafka."""

from __future__ import annotations

MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the hash as an unsigned 32-bit number."""
    m = 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little")
        k = k * m & MASK
        k ^= k >> 24
        k = k * m & MASK
        h = h * m & MASK
        h ^= k
    rest = data[whole:]
    if rest:
        h ^= int.from_bytes(rest, "little")
        h = h * m & MASK
    h ^= h >> 13
    h = h * m & MASK
    h ^= h >> 15
    return h


def java_partition(key: bytes, partitions: int) -> int:
    """Return the partition that Java's default partitioner chooses for a key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
