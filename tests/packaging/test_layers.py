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
# What every room may know: results, exceptions, verdicts and settings as data. Nothing compiled.
RESULTS = tuple(f"twolane.{name}" for name in ("errors", "results", "verdicts"))
CONFIG = ("twolane.config",)
# Constants, which any room below the lanes may know.
UNITS = "twolane._units"
# From librdkafka upwards; the formats are beside them, and `batch` is what the two sides share.
CLIENT = (UNITS, "twolane.client", "twolane.librdkafka")
PRODUCE = (*CLIENT, "twolane.produce", "twolane.reports")
ENCODING = (UNITS, "twolane.batch", "twolane.encoding")
# What is known of a topic's partitions, which a native topic holds.
FIRST_ACK = "twolane.produce.first_ack"
COMMON = ("twolane.common", "twolane.serializers", "twolane.stats")
STREAMS = "twolane.streams"
LANE = (
    *(*C, "numpy", "confluent_kafka", "twolane.batch", *PRODUCE, *RESULTS, *CONFIG),
    *("twolane.common", "twolane.stats", STREAMS),
)
TOPIC_RULES = "twolane.common.topic_rules"
# What the command uses of the rest.
PUBLIC = (
    *("twolane.__version__", "twolane._about", "twolane.testing"),
    *("twolane.SafeProducer", "twolane.ThroughputProducer"),
)
IN_WORDS = "twolane.serializers.in_words"
# What loading takes beside them: the formats, JSON of others, and streams from inside.
LOADING = (
    *("twolane.Avro", "twolane.Json", "twolane.Protobuf", "twolane.Timestamps", "twolane.TopicColumn"),
    *("twolane.encoding.json_text", IN_WORDS, "twolane.streams"),
)
LANES = ("twolane.safe", "twolane.throughput")
# What breaks brokers, without what judges clients.
FAULTS_BELOW_INJECTIONS = ("cluster", "injections", "namespaces", "produce_wire", "proxy", "reassign")

# File pattern -> what it may import beyond the standard library (a name allows what is below it). First match counts.
RULES: list[tuple[str, tuple[str, ...]]] = [
    ("ext/twolane/librdkafka.pxd", ("libc",)),
    ("*/twolane/*__init__.pxd", ()),
    ("ext/twolane/_build.pyx", ()),
    ("ext/twolane/_units.p*", (*C, UNITS)),
    ("ext/twolane/batch.p*", (*C, "numpy")),
    # Formats know nothing of Kafka.
    ("src/twolane/encoding/json/schema.py", ("jsonschema", "referencing", *ENCODING, "twolane.errors")),
    *(
        (f"src/twolane/encoding/protobuf/{name}.py", ("google", "numpy", *ENCODING, "twolane.errors"))
        for name in ("descriptors", "rows")
    ),
    ("src/twolane/encoding/json/rows.py", ("orjson", "numpy", UNITS, "twolane.encoding", "twolane.errors")),
    ("*/twolane/encoding/*", (*C, "numpy", *ENCODING, "twolane.errors")),
    # From a record to librdkafka, from a report to the call: no formats.
    ("*/twolane/client/*", (*C, "numpy", "confluent_kafka", "twolane.batch", *CLIENT, FIRST_ACK, *RESULTS)),
    ("*/twolane/produce/*", (*C, "numpy", "confluent_kafka", UNITS, "twolane.batch", *PRODUCE, *RESULTS)),
    ("*/twolane/reports/*", (*C, "numpy", "confluent_kafka", *CLIENT, "twolane.reports", FIRST_ACK, *RESULTS)),
    # Data: what is reported, which error proves what, which settings exist.
    *((f"src/{room.replace('.', '/')}.py", ("confluent_kafka", "numpy", *RESULTS, *CONFIG)) for room in RESULTS),
    ("src/twolane/config/*", (*RESULTS, *CONFIG)),
    ("src/twolane/stats.py", ("numpy",)),
    ("src/twolane/serializers/*", ("numpy", "confluent_kafka", *ENCODING, *RESULTS, *CONFIG, "twolane.serializers")),
    # What both lanes share knows neither; the lanes do not know each other.
    ("*/twolane/common/*", (*C, "numpy", "confluent_kafka", *ENCODING, *PRODUCE, *RESULTS, *CONFIG, *COMMON)),
    # Streams stand on whatever send_batch() they are given.
    ("src/twolane/streams/*", ("numpy", "pyarrow", *RESULTS, "twolane.common.waiters", STREAMS)),
    ("*/twolane/safe/*", (*LANE, "twolane.safe")),
    ("*/twolane/throughput/*", (*LANE, "twolane.throughput")),
    # What the engines' sinks share: the lanes, streams, serializers in words. Arrow is what engines hand over.
    ("src/twolane/sinks/options.py", (*CONFIG, "twolane.errors", IN_WORDS)),
    (
        "src/twolane/sinks/key_order.py",
        ("numpy", "pandas", "pyarrow", "twolane.errors", "twolane.results", "twolane.sinks"),
    ),
    ("src/twolane/sinks/reports.py", ("numpy", "twolane.results")),
    ("src/twolane/sinks/process.py", ("twolane.common.process_exit", "twolane.errors", *LANES)),
    ("src/twolane/sinks/exactly_once.py", ("confluent_kafka", "twolane.errors", "twolane.sinks")),
    (
        "src/twolane/sinks/*",
        ("pyarrow", "twolane.encoding.time.times", "twolane.errors", IN_WORDS, "twolane.sinks", STREAMS),
    ),
    ("src/twolane/ray.py", ("pyarrow", "ray", "twolane.errors", "twolane.sinks")),
    ("src/twolane/dask.py", ("dask", "distributed", "pandas", "pyarrow", "twolane.sinks")),
    ("src/twolane/spark.py", ("pyspark", "twolane.errors", "twolane.sinks")),
    # Asyncio uses the lanes, which know nothing of it.
    ("*/twolane/aio/*", (*C, "confluent_kafka", *PRODUCE, *RESULTS, *COMMON, *LANES, STREAMS, "twolane.aio")),
    # Test clusters know Kafka, not the lanes.
    ("src/twolane/testing/plugin.py", ("pytest", "confluent_kafka", "twolane.testing")),
    # But for the producers without brokers, which are the real ones up to there.
    (
        "src/twolane/testing/fake*.py",
        (
            *("confluent_kafka", "numpy", *RESULTS, *CONFIG, *CLIENT, *COMMON),
            *("twolane.aio", "twolane.produce", "twolane.safe", "twolane.testing", "twolane.throughput"),
            "twolane.encoding.time.times",
        ),
    ),
    ("src/twolane/testing/*", ("confluent_kafka", "numpy", "twolane.errors", "twolane.testing")),
    # Fronts over the lanes.
    (
        "src/twolane/confluent/*",
        (
            "confluent_kafka",
            UNITS,
            *CLIENT,
            *COMMON,
            *RESULTS,
            *CONFIG,
            "twolane.confluent",
            "twolane.throughput.producer",
        ),
    ),
    # Bridges to what watches services: one package each, over one table of figures.
    ("src/twolane/contrib/figures.py", ("twolane.stats",)),
    ("src/twolane/contrib/prometheus.py", ("prometheus_client", "twolane.stats", "twolane.contrib.figures")),
    (
        "src/twolane/contrib/opentelemetry.py",
        (
            *("opentelemetry", "twolane", "twolane.aio.base", "twolane.common", "twolane.contrib.figures", *RESULTS),
            "twolane.throughput",
        ),
    ),
    ("src/twolane/contrib/__init__.py", ()),
    (
        "src/twolane/cli/loading/*",
        ("click", "rich", "confluent_kafka", "numpy", *PUBLIC, *LOADING, *RESULTS, "twolane.cli"),
    ),
    # The command: the public surface, settings as data, and the two packages that nothing else may need.
    # The benchmarks use it, too.
    ("src/twolane/cli/advising/*", ("numpy", "twolane.cli.advising", "twolane.cli.exits")),
    (
        "src/twolane/cli/*",
        ("click", "rich", "confluent_kafka", "numpy", *PUBLIC, *RESULTS, *CONFIG, "twolane.cli", TOPIC_RULES, IN_WORDS),
    ),
    # Faults use the public package and the test clusters, as a program would. What injects them knows no checker.
    ("faults/injections/*", ("confluent_kafka", *(f"faults.{name}" for name in FAULTS_BELOW_INJECTIONS))),
    *(
        (f"faults/{name}.py", ("twolane.testing", *(f"faults.{one}" for one in FAULTS_BELOW_INJECTIONS)))
        for name in FAULTS_BELOW_INJECTIONS
    ),
    ("faults/report.py", ("matplotlib", "faults.results")),
    ("faults/*", ("click", "confluent_kafka", "numpy", "twolane", "faults")),
    # The public package.
    ("src/twolane/__init__.py", ()),
    ("src/twolane/__main__.py", ("twolane._about", "twolane.cli.app")),
    ("src/twolane/_about.py", ("numpy", "confluent_kafka", "twolane")),
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
        for path in sources(".pyx", ".pxd", below="ext/")
        + sources(".py", below="src/")
        + sources(".py", below="faults/")
        for module in imported(path)
        if module.partition(".")[0] not in sys.stdlib_module_names and not _is_in(module, _allowed(path))
    }
    assert not strays


@pytest.mark.parametrize(("lane", "other"), [("safe", "throughput"), ("throughput", "safe")])
def test_a_lane_does_not_name_the_other(lane: str, other: str) -> None:
    """Not even for type checkers, whose imports the table does not look at."""
    for path in sources(".pyx", ".pxd", ".py", ".pyi"):
        if path.parts[:3] in {("src", "twolane", lane), ("ext", "twolane", lane)}:
            assert not re.search(rf"twolane\.{other}\b", (ROOT / path).read_text()), path


def test_what_compiled_code_needs_is_passed_to_it() -> None:
    """No function of ``ext/`` takes a whole producer, whose Python methods it would call."""
    takes = re.compile(r"^\s*(?:cp?)?def\b.*\bobject producer\b", re.M)
    assert not [path for path in sources(".pyx", ".pxd", below="ext/") if takes.search((ROOT / path).read_text())]


def test_no_name_is_there_twice_in_a_room() -> None:
    """Neither as a compiled and a Python module, nor as a module and a folder."""
    kinds: dict[str, set[str]] = {}
    for path in sources(".pyx", ".pxd", below="ext/") + sources(".py", below="src/"):
        kind = "folder" if path.stem == "__init__" else "Python" if path.suffix == ".py" else "compiled"
        kinds.setdefault(module_name(path), set()).add(kind)
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}


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
