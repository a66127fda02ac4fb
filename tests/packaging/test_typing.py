"""What type checkers and editors know of a call: settings by name and type, headers and times."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.packaging.sources import ROOT
from tests.support.typed_settings import module
from twolane.client import library
from twolane.config.callbacks import ClientOptions
from twolane.config.known import ALIASES, KNOWN
from twolane.config.policy import SAFE, THROUGHPUT
from twolane.config.typed import ProducerSettings

if TYPE_CHECKING:
    from pathlib import Path

# A line that a type checker has to refuse ends with a mark.
USES = """
import datetime as dt
import time

import numpy as np

from twolane import SafeProducer, ThroughputProducer, Timestamps

safe = SafeProducer({"bootstrap.servers": "localhost:9092"}, check_topics=False, acks="all")
fast = ThroughputProducer(
    bootstrap_servers=["localhost:9092"],
    linger_ms=20,
    compression_type="lz4",
    oauth_cb=lambda config: ("token", time.time() + 60),
)
ThroughputProducer(compresion_type="lz4")  # wrong
ThroughputProducer(compression_type="lzma")  # wrong
ThroughputProducer(linger_ms="soon")  # wrong
SafeProducer(enable_idempotence="yes")  # wrong
SafeProducer("localhost:9092")  # wrong
SafeProducer(oauth_cb=lambda config: "token")  # wrong
for producer in (safe, fast):
    producer.send("t", b"v", headers={"a": b"1", "b": "2", "c": None}, timestamp=dt.datetime.now(dt.UTC))
    producer.send("t", b"v", headers=[("a", b"1"), ("a", "2")], timestamp=np.datetime64("2026-01-01"))
    producer.send("t", b"v", timestamp=1_700_000_000_000)
    producer.send("t", b"v", timestamp=Timestamps(1_700_000_000, unit="s"))
    producer.send("t", b"v", headers={"a": 1})  # wrong
    producer.send("t", b"v", headers={b"a": b"1"})  # wrong
    producer.send("t", b"v", headers="a=1")  # wrong
    producer.send("t", b"v", timestamp="now")  # wrong
    producer.send("t", b"v", b"k")
    producer.send("t", b"v", keys=b"k")  # wrong
metadata = safe.send("t", b"v")
safe.send("t", b"v", on_delivery=print)  # wrong
offset: int = metadata.offset  # wrong
"""


def test_a_type_checker_refuses_what_the_producers_refuse(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    file = tmp_path / "uses.py"
    file.write_text(USES)
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"MYPYPATH": "src", "PATH": "/usr/bin:/bin"},
        check=False,
    )
    found = {int(number) for number in re.findall(r"uses\.py:(\d+): error", ended.stdout)}
    wrong = {number for number, line in enumerate(USES.splitlines(), 1) if line.endswith("# wrong")}
    assert found == wrong, ended.stdout + ended.stderr


def test_every_setting_that_a_lane_takes_is_a_typed_keyword() -> None:
    refused = SAFE.refused.keys() & THROUGHPUT.refused.keys()
    names = {name.replace(".", "_") for name in {*KNOWN, *ALIASES} - refused}
    assert set(ProducerSettings.__annotations__) == names | set(ClientOptions.__dataclass_fields__)


def test_the_types_are_those_of_librdkafkas_own_table() -> None:
    text = (ROOT / "src/twolane/config/typed.py").read_text()
    if f"librdkafka {library.VERSION_TEXT} " not in text:
        pytest.skip(f"it was made for another librdkafka than {library.VERSION_TEXT}")
    squeezed = [re.sub(r"[\s()]|,(?=\s*[\])])", "", one) for one in (text, module())]
    assert squeezed[0] == squeezed[1], "python -m tests.support.typed_settings src/twolane/config/typed.py"
