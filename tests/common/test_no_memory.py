"""Every allocation of a call fails once: a MemoryError, and the next call gives the right bytes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.processes import ROOT, UNDER_SANITIZER, plain_environment
from twolane import Bytes, Json
from twolane.testing import FakeProducer

if TYPE_CHECKING:
    from pathlib import Path

ours_to_fail = pytest.mark.skipif(UNDER_SANITIZER, reason="a sanitizer has allocations of its own")
# The first ones of each call; none has more than 400.
MOST = 500


def failing(**environment: str) -> dict[str, Any]:
    pytest.importorskip("_testcapi", reason="this Python has no _testcapi")
    command = [sys.executable, "-m", "tests.support.no_memory", str(MOST)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**plain_environment(), **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert not done.returncode, f"died ({done.returncode}) of {done.stderr[-3000:]}"
    found: dict[str, Any] = json.loads(done.stdout)
    assert not {name: one["wrong"] for name, one in found.items() if one["wrong"]}
    return found


@ours_to_fail
@pytest.mark.skipif(sys.platform != "linux", reason="libc's allocations are replaced as Linux does it")
def test_libc_has_no_memory_for_the_compiled_modules(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    library = tmp_path / "no_memory.so"
    source = ROOT / "tests/support/no_memory.c"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    found = failing(LD_PRELOAD=str(library))
    assert sum(one["raised"] for one in found.values()) >= 40


@ours_to_fail
def test_python_has_no_memory() -> None:
    found = failing()
    assert sum(one["raised"] for one in found.values()) >= 600


def out_of_memory(*_: Any) -> Any:
    raise MemoryError


class Exporter:
    __arrow_c_stream__ = out_of_memory


@pytest.mark.parametrize("on_bad_row", ["raise", "skip"])
@pytest.mark.parametrize(
    ("values", "serializer"),
    [([1, 2], out_of_memory), (Exporter(), Json()), (Exporter(), Bytes())],
    ids=["function", "table", "column"],
)
def test_a_memory_error_of_the_users_code_is_no_bad_row(values: Any, serializer: Any, on_bad_row: Any) -> None:
    with FakeProducer() as producer:
        with pytest.raises(MemoryError):
            producer.send_batch("t", values, serializer=serializer, on_bad_row=on_bad_row)
        assert producer.records == []
