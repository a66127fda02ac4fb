"""Messages out of files and standard input, as ``kcat -P`` takes them apart."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

# What is read at once: of a pipe whatever is there, so that what comes slowly does not wait.
READ = 1 << 20
_ESCAPE = re.compile(rb"\\(?:([nt])|x([0-9A-Fa-f]{1,2}))")
_ESCAPED = {b"n": b"\n", b"t": b"\t"}


def delimiter(text: str) -> bytes:
    r"""Return a delimiter's bytes; ``\n``, ``\t`` and ``\xNN`` are what they are in C.

    Raises
    ------
    ValueError
        It is empty, or ``\x`` has no digits behind it.
    """
    raw = os.fsencode(text)
    made = _ESCAPE.sub(lambda found: _ESCAPED.get(found[1]) or bytes([int(found[2], 16)]), raw)
    if not made:
        raise ValueError("a delimiter has at least one character")
    if b"\\x" in raw and b"\\x" in made:
        raise ValueError(r"\x needs one or two hexadecimal digits")
    return made


def delimiter_option(context: click.Context, parameter: click.Parameter, value: str | None) -> bytes | None:
    """Return the bytes of an option that is a delimiter."""
    try:
        return None if value is None else delimiter(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


@dataclass(frozen=True)
class Records:
    """Some messages, in order, with the key of each; None is Kafka's null."""

    keys: list[bytes | None]
    values: list[bytes | None]

    def __len__(self) -> int:
        return len(self.values)

    def until(self, stop: int) -> Records:
        """Return the first `stop`."""
        return Records(self.keys[:stop], self.values[:stop])


@dataclass(frozen=True)
class Format:
    """How input becomes records.

    Attributes
    ----------
    delimiter : bytes
        Between messages. What is behind the last one is a message too; empty ones are left out.
    key_delimiter : bytes or None
        Between key and value: its first occurrence. A message without it has no key.
    key : bytes or None
        The key of messages that have none of their own.
    empty_is_null : bool
        Beside a key delimiter: an empty key or value is null.
    largest : int
        Bytes until a delimiter has to come.
    """

    delimiter: bytes = b"\n"
    key_delimiter: bytes | None = None
    key: bytes | None = None
    empty_is_null: bool = False
    largest: int = 1_000_000

    def records(self, messages: Iterable[bytes]) -> Records:
        """Return messages with their keys."""
        keys: list[bytes | None] = []
        values: list[bytes | None] = []
        for message in messages:
            key: bytes | None = None
            value: bytes | None = message
            if self.key_delimiter is not None:
                head, mark, tail = message.partition(self.key_delimiter)
                if mark:
                    key, value = (head or None, tail or None) if self.empty_is_null else (head, tail)
            keys.append(self.key if key is None else key)
            values.append(value)
        return Records(keys, values)

    def split(self, file: BinaryIO) -> Iterator[Records]:
        """Yield the messages of a file, those of one read together.

        Where no delimiter comes it ends with a message of more than `largest` bytes, which no producer takes.
        """
        begun = b""
        bound = self.largest + len(self.delimiter) + len(self.key_delimiter or b"")
        while len(begun) <= bound and (data := file.read1(READ)):  # type: ignore[attr-defined]
            *whole, begun = (begun + data).split(self.delimiter)
            messages = [message for message in whole if message]
            if messages:
                yield self.records(messages)
        if begun:
            yield self.records([begun])

    def whole(self, paths: Iterable[Path]) -> Iterator[Records]:
        """Yield each file as one message; empty ones are left out."""
        for path in paths:
            content = path.read_bytes()
            if content:
                yield Records([self.key], [content])
