"""Writes src/twolane/config/typed.py from the table of settings of the librdkafka that is installed.

``python -m tests.support.typed_settings src/twolane/config/typed.py``
"""

from __future__ import annotations

import ctypes
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from twolane.client import library
from twolane.config.known import ALIASES, KNOWN
from twolane.config.policy import PARTITIONERS, SAFE, THROUGHPUT

if TYPE_CHECKING:
    from collections.abc import Iterable

HEAD = '''"""The settings as keyword arguments, with their types: what editors complete and type checkers check.

Made from the table of librdkafka {version} by ``python -m tests.support.typed_settings``; a test compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Sequence

    from confluent_kafka import KafkaError

    from twolane.config.callbacks import TokenCallback


class ProducerSettings(TypedDict, total=False):
    """librdkafka's names with underscores for dots; what the producers take beside them comes first."""

    oauth_cb: TokenCallback | None
    error_cb: Callable[[KafkaError], Any] | None
    stats_cb: Callable[[str], Any] | None
    logger: logging.Logger | logging.LoggerAdapter[Any] | None
    allow_insecure: bool

'''


def one_of(words: Iterable[str]) -> str:
    quoted = ", ".join(f'"{word}"' for word in words)
    return f"Literal[{quoted}]"


TYPES = {"integer": "int", "float": "float", "boolean": "bool"}
# What twolane or Kafka's users write otherwise than the table says.
OWN = {
    "acks": 'Literal["all"] | int',
    "bootstrap.servers": "str | Sequence[str]",
    "partitioner": one_of(PARTITIONERS),
}


def properties() -> dict[str, tuple[str, str, str]]:
    """Return each producer's setting with its type, its range and its description, as librdkafka prints them."""
    native, libc = ctypes.CDLL(library.PATH), ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    libc.fopen.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    libc.fclose.argtypes = native.rd_kafka_conf_properties_show.argtypes = [ctypes.c_void_p]
    with tempfile.NamedTemporaryFile("r") as text:
        file = libc.fopen(text.name.encode(), b"w")
        native.rd_kafka_conf_properties_show(file)
        libc.fclose(file)
        lines = text.read().splitlines()
    found = {}
    for line in lines:
        cells = [cell.strip() for cell in line.split("|")]
        kind = re.search(r"\*Type: ([^*]+)\*$", line)
        if kind and len(cells) > 5 and cells[1] in ("*", "P"):
            found.setdefault(cells[0], (kind.group(1), cells[2], cells[-1]))
    return found


def annotation(name: str, kind: str, values: str) -> str:
    if name in OWN:
        return OWN[name]
    if kind == "enum value":
        words = [word.strip() for word in values.split(",")]
        if name == "security.protocol":
            words += [word.upper() for word in words]  # as Kafka writes it
        return one_of(words)
    return TYPES.get(kind, "str")


def module() -> str:
    """Return the text of the module."""
    table = properties()
    refused = {key for key in SAFE.refused if key in THROUGHPUT.refused}
    lines = []
    for name in sorted({*KNOWN, *ALIASES} - refused):
        target = ALIASES.get(name, name)
        names = (name, target, *(alias for alias, of in ALIASES.items() if of == target))
        known = next((one for one in names if one in table), None)
        kind, values, _ = table[known] if known else ("string", "", "")
        lines.append(f"    {name.replace('.', '_')}: {annotation(target, kind, values)} | None\n")
    return HEAD.format(version=library.VERSION_TEXT) + "".join(lines)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(module())
