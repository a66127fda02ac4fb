"""Serializers named by an option of a sink or of the command; files are read at once, so that tasks need none."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twolane.errors import ConfigError, shown
from twolane.serializers.avro import Avro
from twolane.serializers.json import Json
from twolane.serializers.protobuf import Protobuf

if TYPE_CHECKING:
    from collections.abc import Mapping

WORDS = "json, avro, avro:SCHEMA, protobuf:FILE.desc[:MESSAGE] or bytes:COLUMN"


@dataclass(frozen=True)
class Format:
    """A serializer in words. It can be pickled, also where the registry's settings hold secrets.

    Attributes
    ----------
    name : {"json", "avro", "protobuf", "bytes"}
    schema : bytes, optional
        Avro's JSON, or Protobuf's descriptors; None where none is named.
    message : str
        Of Protobuf; empty where the descriptors have one only.
    column : str
        Of ``bytes:COLUMN``: the column whose bytes, or text, are the value.
    file : str
        Where the schema was read from; empty where the option holds it.
    """

    name: str
    schema: bytes | None = field(default=None, repr=False)
    message: str = ""
    column: str = ""
    file: str = ""

    @classmethod
    def of(cls, text: str, option: str) -> Format:
        """Read an option's words.

        Parameters
        ----------
        text : str
            ``avro:`` takes a schema's JSON, or the file that holds it.
        option : str
            Its name, for errors.

        Raises
        ------
        ConfigError
        """
        name, _, detail = text.partition(":")
        if text in ("json", "avro"):
            return cls(name)
        if name == "bytes" and detail:
            return cls(name, column=detail)
        if name == "avro" and detail.lstrip().startswith(("{", "[", '"')):
            made = cls(name, detail.encode())
        elif name == "avro" and detail:
            made = cls(name, _read(detail, option), file=detail)
        elif name == "protobuf" and detail:
            message = ""
            if not Path(detail).is_file():
                detail, _, message = detail.rpartition(":")
            made = cls(name, _read(detail, option), message, file=detail)
        else:
            raise ConfigError(f"{option}: expected one of {WORDS}, got {shown(text)}", key=option)
        try:
            made.serializer(None)
        except ValueError as error:  # also SerializationError
            raise ConfigError(f"{option}: {shown(text)}: {error}", key=option) from None
        return made

    def serializer(self, registry: Mapping[str, Any] | None, schema: Any = None) -> Any:
        """Return the serializer; None for bytes.

        Parameters
        ----------
        registry : mapping, optional
            The registry's settings; without them records are bare.
        schema : pyarrow.Schema, optional
            Of the rows, which Avro's is made of where none is named.
        """
        asked: Any = None if registry is None else dict(registry)
        if self.name == "json":
            return Json(registry=asked)
        if self.name == "protobuf":
            return Protobuf(self.schema, asked, message=self.message or None, strict=False)
        if self.name == "avro" and (self.schema is not None or schema is not None):
            return Avro(self.schema, asked) if self.schema is not None else Avro.from_arrow(schema, registry=asked)
        return None


def _read(path: str, option: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{option}: cannot read {shown(path)}: {getattr(error, 'strerror', error)}", key=option
        ) from None
