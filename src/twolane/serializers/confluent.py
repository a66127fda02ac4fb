"""Confluent's wire format: each record says which schema of a registry it was written with.

Source: https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/#wire-format
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self
from uuid import UUID

import numpy as np

from twolane.batch import EncodedBatch
from twolane.errors import SerializationError, shown
from twolane.serializers.base import BatchSerializer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twolane.serializers.protocol import Source


class Resolved(NamedTuple):
    """What a registry says of the schema to write with.

    Attributes
    ----------
    schema_id : int
    text : str
    guid : str or None
        The schema's id in all registries; older ones give none.
    referenced : tuple of (str, str)
        Name and text of each schema that this one refers to, directly or not.
    """

    schema_id: int
    text: str
    guid: str | None = None
    referenced: tuple[tuple[str, str], ...] = ()


def checked_id(schema_id: Any) -> int:
    """Return a schema's id, from a user or a registry: an int of 31 bits, as the wire format and Java have it.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if not isinstance(schema_id, int) or isinstance(schema_id, bool) or not 0 <= schema_id < 2**31:
        raise ValueError(f"schema_id: expected an int from 0 to 2147483647, got {shown(schema_id)}")
    return schema_id


def framing(schema_id: int | None) -> bytes:
    """Return what stands before a record: a zero byte and the schema's id, big-endian; nothing without an id."""
    if schema_id is None:
        return b""
    return b"\0" + checked_id(schema_id).to_bytes(4, "big")


def id_header(field: str, guid: str | None) -> tuple[str, bytes]:
    """Return the record header that has the schema's id instead: a one and the GUID's 16 bytes.

    Raises
    ------
    SerializationError
        If the registry gave no GUID.
    """
    if guid is None:
        raise SerializationError("the registry gives schemas no GUIDs: an id in a header needs a newer registry")
    return f"__{field}_schema_id", b"\1" + UUID(guid).bytes


def prefixed(batch: EncodedBatch, prefix: bytes) -> EncodedBatch:
    """Return records with the same bytes before each; null records stay null."""
    if not prefix:
        return batch
    offsets, valid = batch.offsets, batch.valid
    places = np.zeros(len(batch) + 1, dtype=np.int64)
    np.cumsum(np.diff(offsets) + len(prefix) * valid, out=places[1:])
    data = np.empty(int(places[-1]), dtype=np.uint8)
    at_prefix = places[:-1][valid][:, None] + np.arange(len(prefix))
    is_record = np.ones(len(data), dtype=np.bool_)
    is_record[at_prefix] = False
    data[at_prefix] = np.frombuffer(prefix, dtype=np.uint8)
    data[is_record] = batch.data[offsets[0] : offsets[-1]]
    return EncodedBatch(data, places, valid)


class PrefixedSource:
    """A Source whose records have the same bytes before each."""

    def __init__(self, source: Source, prefix: bytes) -> None:
        self._source, self._prefix = source, prefix

    def __len__(self) -> int:
        return len(self._source)

    def first_over(self, limit: int) -> tuple[int, int] | None:
        """Find the first record whose bytes exceed `limit`: (index, size in bytes), or None."""
        found = self._source.first_over(max(0, limit - len(self._prefix)))
        return None if found is None else (found[0], found[1] + len(self._prefix))

    def slice(self, start: int, stop: int) -> EncodedBatch:
        """Encode records `start` to `stop`."""
        return prefixed(self._source.slice(start, stop), self._prefix)


class FramedSerializer(BatchSerializer):
    """A serializer with a schema, whose id is fixed, or asked of a registry once per topic.

    A subclass says how a schema is compared and used; this class asks for it, keeps the answers and hands out the
    serializer that knows them.

    Parameters
    ----------
    schema, registry, schema_id, references
        As for `Avro`.
    """

    # "AVRO", "JSON" or "PROTOBUF", as registries call them.
    schema_type: ClassVar[str]
    # Whether a schema may come with an id that the registry is asked about: it says how rows are written.
    _takes_schema_with_id: ClassVar[bool] = False
    # What follows the id: in Protobuf where in its file the message stands.
    _location = b""

    def __init__(self, schema: Any, registry: Any, schema_id: int | None, references: Sequence[Any]) -> None:
        if registry is not None and schema_id is not None and schema is not None and not self._takes_schema_with_id:
            raise ValueError("schema_id: a fixed id needs no registry, or no schema")
        if not isinstance(references, (list, tuple)) or not all(hasattr(one, "subject") for one in references):
            raise ValueError(f"references: expected a list of SchemaReference, got {shown(references)}")
        self.references = tuple(references) or tuple(getattr(schema, "references", None) or ())
        if registry is None and self.references:
            raise ValueError("schema: only a registry tells it, or what it refers to")
        if getattr(schema, "schema_type", None) not in (None, self.schema_type):
            kind = self.schema_type.capitalize() if self.schema_type == "AVRO" else self.schema_type
            raise SerializationError(f"expected a schema of {kind}, got one of {schema.schema_type}")
        self.registry = registry
        if registry is not None and not hasattr(registry, "resolve"):
            from twolane.serializers.schema_registry import Registry

            self.registry = Registry(registry)
        self.schema_id = schema_id
        self._prefix = framing(schema_id)
        self._warm: dict[tuple[str, str], Self] = {}

    def _locate(self, location: bytes) -> None:
        """Set what follows the id."""
        self._location = location
        if self._prefix:
            self._prefix = framing(self.schema_id) + location

    def _warmed(self, topic: str, field: str, deadline: float | None) -> Self:
        warm = self._warm.get((topic, field))
        if warm is None:
            # Threads that ask for the first time side by side all get the same one.
            warm = self._warm.setdefault((topic, field), self._resolved(topic, field, deadline))
        return warm

    def _ready(self) -> Self:
        """Return the serializer that the registry's answers made of this one, where there is no doubt which."""
        if self.registry is None:
            return self
        made = list(self._warm.values())
        if not made:
            raise SerializationError(
                "the schema's id is asked of the registry by topic: send() and send_batch() do that, or warm_up(topic)"
            )
        if any(other.schema_id != made[0].schema_id or type(other) is not type(made[0]) for other in made):
            topics = ", ".join(sorted({repr(topic) for topic, _ in self._warm}))
            raise SerializationError(f"several ids are known, of {topics}: use what warm_up(topic) returns")
        return made[0]

    def _resolved(self, topic: str, field: str, deadline: float | None) -> Self:
        """Ask the registry, and return the serializer for the topic."""
        raise NotImplementedError

    def _ask(
        self,
        text: str | None,
        topic: str,
        field: str,
        deadline: float | None,
        record_name: str | None = None,
        files: tuple[Any, ...] = (),
    ) -> Resolved:
        """Return the id and the schema to write with."""
        more: dict[str, Any] = {"references": self.references} if self.references else {}
        if files:
            more["files"] = files
        if self.schema_id is not None:
            more["schema_id"] = self.schema_id
        answer = self.registry.resolve(
            text,
            topic=topic,
            field=field,
            record_name=record_name,
            kind=self.schema_type,
            is_same=self._is_same,
            deadline=deadline,
            **more,
        )
        return Resolved(*answer)

    def _frame(self, make: Callable[[int | None], Self], resolved: Resolved, field: str) -> Self:
        """Return the serializer that `make` makes of an id, which it writes before each record, or in a header."""
        if getattr(self.registry, "schema_id_in", "prefix") == "prefix":
            return make(resolved.schema_id)
        made = make(None)
        name, value = id_header(field, resolved.guid)
        made.schema_id, made.schema_headers = resolved.schema_id, ((name, value + made._location),)
        return made

    def __getstate__(self) -> Any:
        settings = self._settings()
        if self.schema_headers:
            settings["schema_id"] = None
        return settings, self.schema_id, self.schema_headers

    def __setstate__(self, state: Any) -> None:
        settings, schema_id, headers = state
        super().__setstate__(settings)
        self.schema_id, self.schema_headers = schema_id, headers

    @staticmethod
    def _is_same(one: str, other: str) -> bool:
        """Return whether two texts are the same schema."""
        return one == other
