"""The order of the rooms: who may import whom. Read RULES first."""

from __future__ import annotations

import re
import sys
from fnmatch import fnmatch
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.packaging.sources import ROOT, imported, module_name, sources

C = ("libc", "cpython", "cython")
WORDS = tuple(f"twolane.{word}" for word in ("errors", "masking", "records", "refused", "settings", "verdicts"))

# File pattern -> what it may import beyond the standard library (a name allows what is below it). First match counts.
RULES: list[tuple[str, tuple[str, ...]]] = [
    # Ground floor: declarations of another library, nothing of ours.
    ("ext/twolane/librdkafka.pxd", ("libc",)),
    ("ext/twolane/*__init__.pxd", ()),
    # The joint of the wings.
    ("ext/twolane/batch.p*", (*C, "numpy")),
    # Left wing: formats, no Kafka. orjson only if it is installed.
    ("src/twolane/encoding/json_rows.py", ("orjson", "numpy", "twolane.encoding", "twolane.errors")),
    ("*/twolane/encoding/*", (*C, "numpy", "twolane.batch", "twolane.encoding", "twolane.errors")),
    # Right wing: Kafka, no formats.
    (
        "*/twolane/client/*",
        (*C, "numpy", "confluent_kafka", "twolane.batch", "twolane.client", "twolane.librdkafka", *WORDS),
    ),
    # Compiled modules that stand on both wings, as the lanes do.
    ("ext/twolane/*", (*C, "numpy", "confluent_kafka", "twolane")),
    # Words and policy that both wings and the users know: nothing compiled.
    *((f"src/{word.replace('.', '/')}.py", ("confluent_kafka", "numpy", *WORDS)) for word in WORDS),
    ("src/twolane/config.py", WORDS),
    # Test clusters know Kafka, not the lanes.
    ("src/twolane/testing/plugin.py", ("pytest", "confluent_kafka", "twolane.testing")),
    ("src/twolane/testing/*", ("confluent_kafka", "numpy", "twolane.errors", "twolane.testing")),
    # The roof.
    ("src/twolane/*", ("numpy", "confluent_kafka", "twolane")),
]


def _allowed(path: Path) -> tuple[str, ...]:
    for pattern, allowed in RULES:
        if fnmatch(path.as_posix(), pattern):
            return allowed
    pytest.fail(f"{path} has no rule")


def _is_in(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def test_a_module_imports_only_what_its_room_may() -> None:
    strays = {
        (path.as_posix(), module)
        for path in sources(".pyx", ".pxd", below="ext/") + sources(".py", below="src/")
        for module in imported(path)
        if module.partition(".")[0] not in sys.stdlib_module_names and not _is_in(module, _allowed(path))
    }
    assert not strays


def test_cimports_have_an_order() -> None:
    names = {module_name(path) for path in sources(".pxd", ".pyx", below="ext/")}
    graph: dict[str, set[str]] = {}
    for path in sources(".pxd", ".pyx", below="ext/"):
        name = module_name(path)
        graph.setdefault(name, set()).update((imported(path) & names) - {name})
    TopologicalSorter(graph).prepare()  # raises CycleError, naming the circle


def test_cython_sources_are_modules() -> None:
    assert not sources(".pxi", below="ext/")
    for path in sources(".pyx", ".pxd", below="ext/"):
        text = (ROOT / path).read_text()
        assert not re.search(r"^\s*(include\s+['\"]|DEF\s|IF\s)", text, re.M), path
        starred = set(re.findall(r"^\s*from\s+([\w.]+)\s+cimport\s+\*", text, re.M))
        assert starred <= {"twolane.librdkafka"}, f"{path}: only declarations of librdkafka are taken as a whole"


def test_the_reader_sees_what_the_compiler_sees(tmp_path: Path) -> None:
    source = tmp_path / "module.pyx"
    source.write_text('"""from a import b"""\nfrom c.d cimport e\n    import f, g.h\ncimport i\nimportant = 1\n')
    assert imported(source) == {"c.d", "f", "g.h", "i"}


def test_imports_are_read_from_cython_sources(tmp_path: Path) -> None:
    source = tmp_path / "module.pyx"
    source.write_text(
        '"""\nfrom a import b\n"""\nfrom c.d cimport (\n    e)\n    import f, g.h\ncimport i\nimportant = 1\n'
        "from twolane import verdicts as v\n"
    )
    assert imported(source) == {"c.d", "f", "g.h", "i", "twolane.verdicts"}
