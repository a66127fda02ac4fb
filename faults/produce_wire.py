"""Kafka's Produce request and answer, versions 3 to 13: just enough to read one, forge one, falsify one.

Layout (protocol guide, "Produce API"). Version 9 made lengths variable ("compact": unsigned varint of length + 1) and
added tagged fields; version 13 names topics by a 16-byte id.

    request   api_key:i16 version:i16 correlation:i32 client_id:string tags
              transactional_id:string acks:i16 timeout:i32
              [topics: name|id [partitions: index:i32 records:bytes tags] tags] tags
    answer    correlation:i32 tags
              [topics: name|id
               [partitions: index:i32 error:i16 base_offset:i64 append_time:i64 start_offset:i64 (since 5)
                [record_errors: index:i32 message:string tags] message:string (both since 8) tags] tags]
              throttle:i32 tags
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

PRODUCE = 0
NEWEST = 13
COMPACT_SINCE = 9
TOPIC_ID_SINCE = 13
START_OFFSET_SINCE = 5
RECORD_ERRORS_SINCE = 8
# Of a record batch: after base offset, length, leader epoch, magic, crc, attributes, last delta, two times, producer.
RECORD_COUNT_AT = 57
# Fewer bytes than these occur by chance in the checksum, the times and the producer id of one batch in many.
TELLING_BYTES = 6


class Cursor:
    """Reads one message from front to back."""

    def __init__(self, data: bytes, is_compact: bool) -> None:
        self.data, self.at, self.is_compact = data, 0, is_compact

    def number(self, layout: str) -> int:
        (value,) = struct.unpack_from(">" + layout, self.data, self.at)
        self.at += struct.calcsize(">" + layout)
        return value

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def length(self, layout: str) -> int:
        """Read the length of a string ("h"), of bytes or of an array ("i"); -1 is null."""
        return self.varint() - 1 if self.is_compact else self.number(layout)

    def raw(self, count: int) -> bytes:
        self.at += max(count, 0)
        return self.data[self.at - max(count, 0) : self.at]

    def string(self) -> bytes:
        return self.raw(self.length("h"))

    def topic(self, version: int) -> bytes:
        return self.raw(16) if version >= TOPIC_ID_SINCE else self.string()

    def tags(self) -> None:
        if self.is_compact:
            for _ in range(self.varint()):
                self.varint()
                self.raw(self.varint())


class Builder:
    """Writes one message from front to back."""

    def __init__(self, is_compact: bool) -> None:
        self.data, self.is_compact = bytearray(), is_compact

    def number(self, layout: str, value: int) -> None:
        self.data += struct.pack(">" + layout, value)

    def varint(self, value: int) -> None:
        while value >= 0x80:
            self.data.append(value & 0x7F | 0x80)
            value >>= 7
        self.data.append(value)

    def length(self, layout: str, value: int) -> None:
        if self.is_compact:
            self.varint(value + 1)
        else:
            self.number(layout, value)

    def string(self, text: bytes | None) -> None:
        self.length("h", -1 if text is None else len(text))
        self.data += text or b""

    def bytes(self, data: bytes) -> None:
        self.length("i", len(data))
        self.data += data

    def topic(self, version: int, token: bytes) -> None:
        if version >= TOPIC_ID_SINCE:
            self.data += token
        else:
            self.string(token)

    def tags(self) -> None:
        if self.is_compact:
            self.data.append(0)


@dataclass(frozen=True)
class ProduceRequest:
    """What one Produce request asks; `topics` is name (or id) -> partition -> record batches."""

    version: int
    correlation: int
    acks: int
    topics: dict[bytes, dict[int, bytes]]
    frame: bytes = field(repr=False)

    @property
    def records(self) -> int:
        """Number of records in all partitions."""
        batches = (data for partitions in self.topics.values() for data in partitions.values())
        return sum(struct.unpack_from(">i", data, RECORD_COUNT_AT)[0] for data in batches)

    def __contains__(self, text: bytes) -> bool:
        """Whether some record (of an uncompressed batch) has these bytes: enough of them to be in no checksum."""
        if len(text) < TELLING_BYTES:
            raise ValueError(f"{text!r} may occur by chance in the checksum or the timestamps of any batch")
        return any(text in data for partitions in self.topics.values() for data in partitions.values())


def header(frame: bytes) -> tuple[int, int, int]:
    """Return (api key, version, correlation id) of any request; `frame` is without its length."""
    return struct.unpack_from(">hhi", frame)


def parse_request(frame: bytes) -> ProduceRequest:
    """Read a Produce request."""
    _, version, correlation = header(frame)
    if version > NEWEST:
        raise ValueError(f"Produce version {version} is newer than this module")
    cursor = Cursor(frame, is_compact=False)
    cursor.at = 8
    cursor.string()  # client id: the one string that never became compact
    cursor.is_compact = version >= COMPACT_SINCE
    cursor.tags()
    cursor.string()  # transactional id
    acks = cursor.number("h")
    cursor.number("i")  # timeout
    topics: dict[bytes, dict[int, bytes]] = {}
    for _ in range(cursor.length("i")):
        partitions = topics.setdefault(cursor.topic(version), {})
        for _ in range(cursor.length("i")):
            index = cursor.number("i")
            partitions[index] = cursor.raw(cursor.length("i"))
            cursor.tags()
        cursor.tags()
    return ProduceRequest(version, correlation, acks, topics, frame)


def with_correlation(frame: bytes, correlation: int) -> bytes:
    """Return a request with the number that its answer is to have."""
    return frame[:4] + struct.pack(">i", correlation) + frame[8:]


def answer(request: ProduceRequest, code: int, base_offset: int = -1) -> bytes:
    """Build the answer that gives every partition of the request the same error."""
    version = request.version
    builder = Builder(version >= COMPACT_SINCE)
    builder.number("i", request.correlation)
    builder.tags()
    builder.length("i", len(request.topics))
    for token, partitions in request.topics.items():
        builder.topic(version, token)
        builder.length("i", len(partitions))
        for index in partitions:
            builder.number("i", index)
            builder.number("h", code)
            builder.number("q", base_offset)
            builder.number("q", -1)
            if version >= START_OFFSET_SINCE:
                builder.number("q", -1)
            if version >= RECORD_ERRORS_SINCE:
                builder.length("i", 0)
                builder.string(None)
            builder.tags()
        builder.tags()
    builder.number("i", 0)  # throttle time
    builder.tags()
    return bytes(builder.data)


@dataclass(frozen=True)
class PartitionAnswer:
    """One partition of an answer; `error_at` is where its error code is in the bytes."""

    index: int
    error: int
    base_offset: int
    error_at: int


def parse_answer(version: int, body: bytes) -> list[PartitionAnswer]:
    """Read the answer to a Produce request of `version`."""
    cursor = Cursor(body, version >= COMPACT_SINCE)
    cursor.number("i")  # correlation id
    cursor.tags()
    found = []
    for _ in range(cursor.length("i")):
        cursor.topic(version)
        for _ in range(cursor.length("i")):
            index, error_at = cursor.number("i"), cursor.at
            found.append(PartitionAnswer(index, cursor.number("h"), cursor.number("q"), error_at))
            cursor.number("q")  # append time
            if version >= START_OFFSET_SINCE:
                cursor.number("q")
            if version >= RECORD_ERRORS_SINCE:
                for _ in range(cursor.length("i")):
                    cursor.number("i")
                    cursor.string()
                    cursor.tags()
                cursor.string()
            cursor.tags()
        cursor.tags()
    return found


def with_errors(version: int, body: bytes, code: int) -> bytes:
    """Return the answer with every error code replaced; offsets stay as the broker gave them."""
    changed = bytearray(body)
    for partition in parse_answer(version, body):
        struct.pack_into(">h", changed, partition.error_at, code)
    return bytes(changed)
