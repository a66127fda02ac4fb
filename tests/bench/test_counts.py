"""The guard that counts instructions: it reads Callgrind rightly, and refuses what grew."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.counts import __main__ as guard
from bench.counts import callgrind, toolchain
from bench.counts.loops import Bytecodes
from twolane.common.headers import shared_headers

COUNTS = Path(guard.COMMITTED).parent
REASON = toolchain.missing()
needs_valgrind = pytest.mark.skipif(REASON is not None, reason=str(REASON))

PACKAGE = """
#include <string.h>
static __attribute__((noinline)) long inner(long n) {
    long s = 0; for (volatile long i = 0; i < n; i++) s += i;
    return s;
}
long outer(char *to, const char *from, long n) { memcpy(to, from, n); memcpy(to + 1, from, n); return inner(n); }
"""
PROGRAM = """
void begin_counting(void); void end_counting(const char *); long outer(char *, const char *, long);
static char from[300], to[400];
static __attribute__((noinline)) long not_ours(long n) { return outer(to, from, n) + outer(to, from, n); }
int main(int argc, char **argv) {
    not_ours(200 + argc);
    begin_counting();
    not_ours(200);
    end_counting("two");
    return 0;
}
"""


def sample(instructions: float = 100.0, calls: float = 4.0, bytecodes: float = 0.0) -> guard.Counts:
    most = {"single: _send": instructions}
    return {"loop": {"instructions": instructions, "calls": calls, "bytecodes": bytecodes, "most": most}}


def compile_c(source: str, target: Path, *options: str) -> None:
    command = [toolchain.compiler(), "-O1", "-g1", "-x", "c", "-", "-x", "none", "-o", str(target), *options]
    subprocess.run(command, input=source, text=True, check=True)


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Callgrind's dump of a loop in C, and the folder of the library that counts."""
    folder = tmp_path_factory.mktemp("callgrind")
    package = folder / "package"
    package.mkdir()
    compile_c((COUNTS / "marks.c").read_text(), folder / "libmarks.so", "-shared", "-fPIC")
    compile_c(PACKAGE, package / "libours.so", "-shared", "-fPIC")
    libraries = ["-L.", "-Lpackage", "-lmarks", "-lours", f"-Wl,-rpath,{folder}:{package}"]
    compile_c(PROGRAM, folder / "program", f"-L{folder}", f"-L{package}", *libraries[2:])
    subprocess.run([*callgrind.command(folder), str(folder / "program")], check=True)
    return folder / "out.1-01", package


@needs_valgrind
def test_it_reads_what_callgrinds_own_tool_reads(dump):
    path, package = dump
    profile = callgrind.read(path, package)
    command = ["callgrind_annotate", "--threshold=100", "--auto=no", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = re.findall(r"^\s*([\d,]+)\s.*?:(\w+) \[(.*)\]$", said, re.M)
    theirs = {name: int(cost.replace(",", "")) for cost, name, library in lines if library.startswith(str(package))}
    assert set(theirs) == {"inner", "outer"}
    assert {function: cost for (_, function), cost in profile.instructions.items()} == theirs


@needs_valgrind
def test_it_counts_one_loop_and_only_calls_that_leave_the_package(dump):
    profile = callgrind.read(*dump)
    assert profile.loop == "two"
    assert {module for module, _ in profile.instructions} == {"libours"}
    assert profile.calls == 4, "two calls of memcpy in each of two calls, and none of inner"


def test_bytecodes_are_those_of_the_package():
    def ours_and_not(times: int) -> int:
        counter = Bytecodes()
        with counter.counting():
            for _ in range(times):
                shared_headers({"trace": "abc"})
        return counter.count

    once = ours_and_not(1)
    assert once > 20
    assert ours_and_not(7) == 7 * once
    assert ours_and_not(0) == 0


@pytest.mark.parametrize("kind", guard.KINDS)
def test_growth_past_five_percent_is_refused(kind):
    before = sample(bytecodes=10.0)
    for factor, is_refused in ((0.5, False), (1.0, False), (1.04, False), (1.08, True), (2.0, True)):
        now = copy.deepcopy(before)
        now["loop"][kind] *= factor
        assert bool(guard.regressions(before, now)) == is_refused, factor


def test_growth_from_nothing_is_refused():
    assert guard.regressions(sample(), sample(bytecodes=1.0))
    assert not guard.regressions(sample(), sample(bytecodes=0.01))


def test_a_loop_that_came_or_went_is_refused():
    assert guard.regressions(sample(), {}) == ["loop: not counted any more"]
    assert guard.regressions({}, sample())


def run(monkeypatch: pytest.MonkeyPatch, path: Path, now: guard.Counts, *arguments: str) -> int:
    monkeypatch.setattr(guard, "count", lambda: now)
    monkeypatch.setattr(guard, "missing", lambda: None)
    return guard.main(["--file", str(path), *arguments])


def test_the_exit_status_tells(monkeypatch, tmp_path, capsys):
    path = tmp_path / "counts.json"
    assert run(monkeypatch, path, sample(), "--update") == 0
    assert run(monkeypatch, path, sample()) == 0
    assert run(monkeypatch, path, sample(instructions=120.0)) == 1
    assert "loop: 120.0 instructions per record, not 100.0" in capsys.readouterr().err


def test_another_toolchain_is_not_compared(monkeypatch, tmp_path, capsys):
    path = tmp_path / "counts.json"
    run(monkeypatch, path, sample(), "--update")
    written = json.loads(path.read_text())
    written["toolchain"]["compiler"] = "gcc 1.0"
    path.write_text(json.dumps(written))
    assert run(monkeypatch, path, sample(instructions=1e9)) == 0
    assert "not gcc 1.0" in capsys.readouterr().out
    assert run(monkeypatch, path, sample(), "--strict") == 1


def test_without_valgrind_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert guard.main([]) == 0
    assert "valgrind is not installed" in capsys.readouterr().out


def test_ci_installs_what_the_committed_counts_hold_for():
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", (COUNTS / "constraints.txt").read_text(), re.M))
    committed = json.loads(guard.COMMITTED.read_text())
    assert pinned["cython"] == committed["toolchain"]["cython"]
    assert pinned["confluent-kafka"].startswith(committed["toolchain"]["librdkafka"])
    assert all(committed["loops"][loop][kind] >= 0 for loop in committed["loops"] for kind in guard.KINDS)
