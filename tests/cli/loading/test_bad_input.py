"""What ``twolane load`` says of bad input and bad days: in the user's terms, with the documented exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.packaging.sources import ROOT
from twolane.cli.exits import Exit
from twolane.safe.topic_settings import TopicCheck

if TYPE_CHECKING:
    from tests.cli.conftest import Run
    from twolane.testing import EmbeddedCluster

N = 60
TEXT = "this is no such file, whatever its name says"
PROGRAM = Path(__file__).with_name("program.py")


@pytest.fixture
def load(run: Run, embedded_cluster: EmbeddedCluster) -> Any:
    embedded_cluster.create_topic("t", partitions=1)

    def call(*arguments: object, **options: Any) -> Any:
        return run("load", "-b", embedded_cluster.bootstrap_servers, "-t", "t", *arguments, "--chunk", 10, **options)

    return call


def program(cluster: EmbeddedCluster, how: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, to which something happens."""
    command = [
        sys.executable,
        PROGRAM,
        how,
        "load",
        "-b",
        cluster.bootstrap_servers,
        "-t",
        "t",
        "--chunk",
        10,
        *arguments,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, check=False)


def write_jsonl(path: Path, n: int = N) -> Path:
    path.write_text("".join(f'{{"id": {i}}}\n' for i in range(n)))
    return path


def ids(cluster: EmbeddedCluster) -> list[int]:
    return [json.loads(record.value)["id"] for record in cluster.records("t")]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["nowhere.csv"], Exit.USAGE, "nowhere.csv: no such file"),
        (["*.nothing"], Exit.USAGE, "*.nothing: no file matches"),
        (["."], Exit.USAGE, "a directory"),
        ([__file__], Exit.USAGE, "unknown ending; say --input"),
        (["-"], Exit.USAGE, "say --input"),
        (["rows.jsonl", "--key", "absent"], Exit.USAGE, "--key: no column 'absent'; the columns are 'id'"),
        (["rows.jsonl", "--header", "x"], Exit.USAGE, "--header x: no column 'x'"),
        (["rows.jsonl", "--format", "bytes:x"], Exit.USAGE, "--format bytes: no column 'x'"),
        (["rows.jsonl", "--format", "bytes:id", "--registry", "http://h"], Exit.USAGE, "bytes have no schema"),
        (["rows.jsonl", "--format", "xml"], Exit.USAGE, "expected one of json"),
        (["rows.jsonl", "--format", "avro:no.avsc"], Exit.USAGE, "--format: cannot read 'no.avsc': No such file"),
        (["rows.jsonl", "--format", "avro:broken.avsc"], Exit.USAGE, "--format: 'avro:broken.avsc': "),
        (
            ["rows.jsonl", "--format", "avro:other.avsc"],
            Exit.REFUSED,
            "field 'name'): expected string (the field",
        ),
        (["rows.jsonl", "--format", "avro:text.avsc"], Exit.REFUSED, "record 0, field 'id'): expected string, got 0"),
        (["rows.jsonl", "--resume"], Exit.USAGE, "--state FILE"),
        (["rows.jsonl", "--bad", "bad"], Exit.USAGE, "--on-bad-row skip"),
        (["rows.jsonl", "--state", "rows.jsonl"], Exit.USAGE, "no state file of twolane load"),
        (["rows.jsonl", "--state", "text.arrow"], Exit.USAGE, "no state file of twolane load"),
        (["rows.jsonl", "--state", "/dev/null"], Exit.USAGE, "no regular file"),
        (["rows.jsonl", "--state", "no/where"], Exit.UNAVAILABLE, "no/where"),
        (["cut.parquet"], Exit.REFUSED, "cut.parquet: "),
        (["text.parquet"], Exit.REFUSED, "text.parquet: "),
        (["text.avro"], Exit.REFUSED, "text.avro: "),
        (["text.arrow"], Exit.REFUSED, "text.arrow: "),
        (["duckdb:select * from nowhere"], Exit.REFUSED, "nowhere does not exist"),
    ],
)
def test_what_cannot_be_loaded_sends_nothing(
    load: Any,
    embedded_cluster: EmbeddedCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: Exit,
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("rows.jsonl"))
    pyarrow.parquet.write_table(pa.table({"id": range(N)}), "whole.parquet")
    Path("cut.parquet").write_bytes(Path("whole.parquet").read_bytes()[:-40])
    for name in ("text.parquet", "text.avro", "text.arrow"):
        Path(name).write_text(TEXT)
    Path("broken.avsc").write_text("{")
    for name, field in (("other.avsc", ("name", "string")), ("text.avsc", ("id", "string"))):
        fields = [{"name": field[0], "type": field[1]}]
        Path(name).write_text(json.dumps({"type": "record", "name": "R", "fields": fields}))
    done = load(*arguments)
    assert done.exit_code == code, done.output
    assert text in done.output
    assert "Traceback" not in done.output
    assert ids(embedded_cluster) == []
    assert Path("text.arrow").read_text() == TEXT


def test_a_half_broken_csv(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    lines = [f"{i},name {i}" for i in range(N)]
    lines[45] += ",one more"
    (tmp_path / "a.csv").write_text("\n".join(["id,name", *lines]))
    stopped = load(tmp_path / "a.csv")
    assert stopped.exit_code == Exit.REFUSED
    assert "Expected 2 columns, got 3" in stopped.output
    assert "a.csv" in stopped.output
    skipped = load(tmp_path / "a.csv", "--on-bad-row", "skip", "--bad", tmp_path / "bad", "--json")
    assert skipped.exit_code == Exit.REFUSED
    result = json.loads(skipped.stdout)
    assert (result["written"], result["refused"]) == (N - 1, 1)
    assert json.loads((tmp_path / "bad").read_text()) == {
        "row": f"{tmp_path / 'a.csv'}, line 47",
        "error": "expected 2 columns, got 3",
        "value": "45,name 45,one more",
    }
    assert ids(embedded_cluster) == [i for i in range(N) if i != 45]


@pytest.mark.parametrize("skip", [True, False])
def test_a_row_larger_than_its_topic_takes(
    load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skip: bool
) -> None:
    # The embedded cluster does not answer the question itself.
    monkeypatch.setattr(TopicCheck, "ask", lambda check, topic: check._found(topic, {"max.message.bytes": "1000"}))
    source = tmp_path / "a.jsonl"
    source.write_text("".join(f'{{"id": {i}, "text": "{"x" * 2_000 * (i == 25)}"}}\n' for i in range(N)))
    done = load(source, "--json", *(["--on-bad-row", "skip", "--bad", tmp_path / "bad"] if skip else []))
    assert done.exit_code == (Exit.REFUSED if skip else Exit.NOT_WRITTEN)
    result = json.loads(done.stdout)
    if skip:
        assert (result["written"], result["refused"]) == (N - 1, 1)
        line = json.loads((tmp_path / "bad").read_text())
        assert line["row"] == 25
        assert "max.message.bytes is 1000" in line["error"]
        assert ids(embedded_cluster) == [i for i in range(N) if i != 25]
    else:
        assert (result["written"], result["position"]) == (20, 20)
        assert "max.message.bytes is 1000" in result["error"]
        assert ids(embedded_cluster) == list(range(20))


def test_a_bad_row_in_the_middle(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", 25)
    source.write_text(source.read_text() + "{broken\n")
    done = load(source, "--json")
    assert done.exit_code == Exit.REFUSED
    result = json.loads(done.stdout)
    assert (result["written"], result["position"]) == (20, 20)
    assert "a.jsonl, line 26" in result["error"]
    assert ids(embedded_cluster) == list(range(20))


def test_a_parquet_file_whose_middle_is_broken(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pa.table({"id": range(N)}), path, row_group_size=20, compression="zstd")
    data = bytearray(path.read_bytes())
    start = pyarrow.parquet.read_metadata(path).row_group(1).column(0).dictionary_page_offset
    data[start : start + 60] = bytes(60)
    path.write_bytes(data)
    done = load(path, "--json")
    assert done.exit_code == Exit.REFUSED
    assert "a.parquet: " in json.loads(done.stdout)["error"]
    assert ids(embedded_cluster) == list(range(json.loads(done.stdout)["written"]))


def test_an_unknown_topic(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    embedded_cluster.set_topic_error("t", "UNKNOWN_TOPIC_OR_PART")
    done = load(write_jsonl(tmp_path / "a.jsonl"), "-X", "message.timeout.ms=5000")
    assert done.exit_code == Exit.NOT_WRITTEN
    assert "topic 't'" in done.output
    assert "Unknown topic or partition" in done.output


def test_no_broker(run: Run, tmp_path: Path) -> None:
    done = run(
        *("load", write_jsonl(tmp_path / "a.jsonl"), "-b", "127.0.0.1:1", "-t", "t", "-X", "message.timeout.ms=1000")
    )
    assert done.exit_code == Exit.UNAVAILABLE
    assert "Traceback" not in done.output


@pytest.mark.parametrize("lane", ["safe", "throughput"])
def test_a_cluster_that_goes_away(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path, lane: str) -> None:
    """Half of the rows are written, each of the others is counted once, and a run behind it goes on."""
    source = write_jsonl(tmp_path / "a.jsonl")
    state = tmp_path / "state"
    arguments = (source, "--lane", lane, "--state", state, "-X", "message.timeout.ms=2000", "--json")
    goes_well = 3 if lane == "safe" else 0  # the throughput lane sends all in one request
    embedded_cluster.push_errors(0, [0] * goes_well + ["TOPIC_AUTHORIZATION_FAILED"] * 50)
    done = load(*arguments)
    assert done.exit_code in (Exit.NOT_WRITTEN, Exit.UNKNOWN), done.output
    result = json.loads(done.stdout)
    failed = result["not_written"] + result["unknown"]
    assert failed > 0
    assert result["written"] + failed == result["position"]
    assert len(ids(embedded_cluster)) == result["written"]
    embedded_cluster.clear_errors(0)
    again = load(*arguments, "--resume")
    assert again.exit_code == 0, again.output
    assert sorted(ids(embedded_cluster)) == list(range(N))


@pytest.mark.skipif(os.name != "posix", reason="POSIX limits")
def test_a_disk_that_is_full(embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    embedded_cluster.create_topic("t", partitions=1)
    done = program(embedded_cluster, "file=10", write_jsonl(tmp_path / "a.jsonl"), "--state", tmp_path / "state")
    assert done.returncode == Exit.UNAVAILABLE
    assert "--state: " in done.stderr
    assert "Traceback" not in done.stderr
    assert ids(embedded_cluster) == []


@pytest.mark.skipif(os.name != "posix", reason="POSIX limits")
def test_a_disk_that_fills_up(embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    embedded_cluster.create_topic("t", partitions=1)
    source, state = write_jsonl(tmp_path / "a.jsonl"), tmp_path / "state"
    done = program(embedded_cluster, "file=600", source, "--state", state, "--json")
    assert done.returncode == Exit.UNAVAILABLE, done.stderr
    result = json.loads(done.stdout)
    assert "--state: " in result["error"]
    assert 0 < result["written"] == result["position"] < N
    assert ids(embedded_cluster) == list(range(result["written"]))
    again = program(embedded_cluster, "file=100000", source, "--state", state, "--resume", "--json")
    assert again.returncode == 0, again.stderr
    assert ids(embedded_cluster) == list(range(N))


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("count", [1, 2])
def test_ctrl_c_once_and_twice(embedded_cluster: EmbeddedCluster, tmp_path: Path, count: int) -> None:
    embedded_cluster.create_topic("t", partitions=1)
    source, state = write_jsonl(tmp_path / "a.jsonl"), tmp_path / "state"
    done = program(embedded_cluster, f"signals=3,{count}", source, "--state", state, "--json")
    assert done.returncode == Exit.INTERRUPTED, done.stderr
    assert "Traceback" not in done.stderr
    result = json.loads(done.stdout)
    assert result["written"] == (30 if count == 1 else 20)
    assert result["stopped"] == ("SIGINT" if count == 1 else None)
    assert ids(embedded_cluster) == list(range(result["written"]))
    again = program(embedded_cluster, "signals=0,0", source, "--state", state, "--resume", "--json")
    assert (again.returncode, json.loads(again.stdout)["resumed_at"]) == (0, result["written"])
    assert ids(embedded_cluster) == list(range(N))


@pytest.mark.skipif(os.name != "posix", reason="POSIX locks")
def test_a_state_file_has_one_user(load: Any, tmp_path: Path) -> None:
    import fcntl

    state = tmp_path / "state"
    with state.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        done = load(write_jsonl(tmp_path / "a.jsonl"), "--state", state)
    assert (done.exit_code, "another load uses it now" in done.output) == (Exit.USAGE, True)


def test_another_schema_is_another_load(load: Any, tmp_path: Path) -> None:
    """The option may hold the schema itself."""
    schemas = [json.dumps({"type": "record", "name": name, "fields": [{"name": "id", "type": "int"}]}) for name in "AB"]
    source, state = write_jsonl(tmp_path / "a.jsonl"), tmp_path / "state"
    assert load(source, "--state", state, "--format", f"avro:{schemas[0]}").exit_code == 0
    done = load(source, "--state", state, "--resume", "--format", f"avro:{schemas[1]}")
    assert (done.exit_code, "is of another load: schema" in done.output) == (Exit.USAGE, True)


def test_sources_that_changed_are_another_load(load: Any, tmp_path: Path) -> None:
    source, state = write_jsonl(tmp_path / "a.jsonl"), tmp_path / "state"
    assert load(source, "--state", state).exit_code == 0
    write_jsonl(source, N + 1)
    done = load(source, "--state", state, "--resume")
    assert (done.exit_code, "is of another load: sources" in done.output) == (Exit.USAGE, True)


def test_a_library_that_is_missing_is_named(load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.csv", None)
    (tmp_path / "a.csv").write_text("id\n1\n")
    done = load(tmp_path / "a.csv")
    assert (done.exit_code, "needs pyarrow, which is not installed" in done.output) == (Exit.USAGE, True)


def test_rows_in_doubt_that_fail_again(load: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    source, state = write_jsonl(tmp_path / "a.jsonl"), tmp_path / "state"
    arguments = (source, "--state", state, "-X", "message.timeout.ms=2000", "--json", "--resume")
    for _ in range(2):
        embedded_cluster.push_errors(0, ["TOPIC_AUTHORIZATION_FAILED"] * 20)
        done = load(*arguments)
        assert done.exit_code == Exit.NOT_WRITTEN, done.output
        assert json.loads(done.stdout)["not_written"] == 10
        embedded_cluster.clear_errors(0)
    done = load(*arguments)
    result = json.loads(done.stdout)
    assert (done.exit_code, result["sent_again"], result["written"]) == (0, 10, N)
    assert ids(embedded_cluster) == list(range(N))
