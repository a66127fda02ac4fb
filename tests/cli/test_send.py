"""``twolane send``: what stands in the log afterwards, as confluent-kafka's consumer reads it; beside real kcat."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess

import pytest

from tests.support.waiting import hold_answers, until_requests
from twolane.cli.exits import Exit
from twolane.cli.messages import READ, Format, delimiter
from twolane.testing import ApiKey

LANES = pytest.mark.parametrize("lane", ["safe", "throughput"])


def log(cluster, topic: str) -> list[tuple]:
    return [(one.key, one.value, one.headers) for one in cluster.records(topic)]


BYTES = bytes({*range(256)} - {1})
# Arguments, input, and what kcat 1.7.1 writes: key and value of each record.
CASES = {
    "lines": ([], b"one\ntwo\n\nthree", [(None, b"one"), (None, b"two"), (None, b"three")]),
    "nothing": ([], b"", []),
    "carriage returns": ([], b"a\r\nb\r\n", [(None, b"a\r"), (None, b"b\r")]),
    "keys": (
        ["-K", ":"],
        b"k:v\nplain\n:v\nk:\nk:v:w\n:\n",
        [
            (b"k", b"v"),
            (None, b"plain"),
            (b"", b"v"),
            (b"k", b""),
            (b"k", b"v:w"),
            (b"", b""),
        ],
    ),
    "nulls": (["-K", ":", "-Z"], b"k:v\n:v\nk:\n:\n", [(b"k", b"v"), (None, b"v"), (b"k", None), (None, None)]),
    "nulls without keys": (["-Z"], b"a\n\nb\n", [(None, b"a"), (None, b"b")]),
    "one key": (["-k", "K"], b"a\nb:c\n", [(b"K", b"a"), (b"K", b"b:c")]),
    "one key for those without": (
        ["-k", "K", "-K", ":", "-Z"],
        b"a\nb:c\n:d\n",
        [(b"K", b"a"), (b"b", b"c"), (b"K", b"d")],
    ),
    "long delimiters": (["-D", ";;\\n", "-K", "\\t=>\\x20"], b"a\t=> b;;\nc\nd;;\n", [(b"a", b"b"), (None, b"c\nd")]),
    "a count": (["-c", "2"], b"a\nb\nc\n", [(None, b"a"), (None, b"b")]),
    "any bytes": (["-D", "\\x01"], BYTES + b"\1\xff\xfe\0\1", [(None, BYTES), (None, b"\xff\xfe\0")]),
    "kcat's own flag": (["-P"], b"a\n", [(None, b"a")]),
    "compressed": (["-z", "gzip"], b"a\n" * 3, [(None, b"a")] * 3),
    "settings": (["-X", "compression.codec=lz4", "-X", "linger.ms=0"], b"a\n", [(None, b"a")]),
}


@LANES
@pytest.mark.parametrize("name", CASES)
def test_what_is_written(run, embedded_cluster, lane, name):
    arguments, given, expected = CASES[name]
    embedded_cluster.create_topic("t")
    where = ["-b", embedded_cluster.bootstrap_servers, "-t", "t", "-p", 0, "-H", "a=1", "-H", "b", "-H", "a=x=y"]
    result = run("send", "--lane", lane, *where, *arguments, input=given)
    assert result.exit_code == 0, result.stderr
    headers = [("a", b"1"), ("b", None), ("a", b"x=y")]
    assert log(embedded_cluster, "t") == [(*record, headers) for record in expected]
    assert result.stdout == ""
    assert result.stderr == f"twolane: {len(expected)} written to topic 't'\n"


@pytest.mark.parametrize("name", CASES)
def test_kcat_writes_the_same(embedded_cluster, name):
    kcat = shutil.which("kcat")
    if kcat is None:
        pytest.skip("kcat is not installed: apt-get install kcat")
    arguments, given, expected = CASES[name]
    embedded_cluster.create_topic("t")
    command = [kcat, "-P", "-b", embedded_cluster.bootstrap_servers, "-t", "t", "-p", "0", *arguments]
    subprocess.run(command, input=given, check=True, timeout=60)
    assert [(key, value) for key, value, _ in log(embedded_cluster, "t")] == expected


@LANES
def test_files(run, embedded_cluster, tmp_path, lane):
    for name, content in {"a": b"one\ntwo\n", "b": b"", "c": b"three"}.items():
        (tmp_path / name).write_bytes(content)
    files = [tmp_path / name for name in "abc"]
    embedded_cluster.create_topic("whole")
    embedded_cluster.create_topic("lines")
    where = ["-b", embedded_cluster.bootstrap_servers, "--lane", lane]
    assert run("send", *where, "-t", "whole", "-k", "K", *files).exit_code == 0
    assert run("send", *where, "-t", "lines", "-l", *files).exit_code == 0
    assert log(embedded_cluster, "whole") == [(b"K", b"one\ntwo\n", []), (b"K", b"three", [])]
    assert [value for _, value, _ in log(embedded_cluster, "lines")] == [b"one", b"two", b"three"]


def test_a_key_chooses_the_partition(run, embedded_cluster):
    embedded_cluster.create_topic("t", 4)
    where = ["-b", embedded_cluster.bootstrap_servers, "-t", "t", "-K", ":"]
    assert run("send", *where, input=b"".join(b"k%d:v\n" % (i % 8) for i in range(64))).exit_code == 0
    places = {(one.key, one.partition) for one in embedded_cluster.records("t")}
    assert len(places) == 8
    assert len({partition for _, partition in places}) > 1


def test_json(run, embedded_cluster):
    embedded_cluster.create_topic("t")
    result = run("send", "--json", "-b", embedded_cluster.bootstrap_servers, "-t", "t", input=b"a\nb\n")
    assert json.loads(result.stdout) == {
        "topic": "t",
        "read": 2,
        "refused": 0,
        "written": 2,
        "not_written": 0,
        "unknown": 0,
        "aborted": False,
        "error": None,
        "code": 0,
    }
    assert result.stderr == ""


def test_a_transaction(run, embedded_cluster):
    embedded_cluster.create_topic("t")
    where = ["-b", embedded_cluster.bootstrap_servers, "-t", "t", "-X", "transactional.id=me"]
    assert run("send", *where, input=b"a\nb\n").exit_code == 0
    result = run("send", *where, "-X", "message.max.bytes=1000", "-l", input=b"c\n" + b"x" * 2000)
    assert result.exit_code == Exit.REFUSED
    assert "1 written to topic 't', 1 refused; aborted" in result.stderr
    requests = [request.api_key for request in embedded_cluster.requests()]
    assert requests.count(ApiKey.END_TXN) == 2


@LANES
def test_a_message_that_is_too_large(run, embedded_cluster, lane):
    embedded_cluster.create_topic("t")
    where = ["-b", embedded_cluster.bootstrap_servers, "-t", "t", "--lane", lane, "-X", "message.max.bytes=2000"]
    result = run("send", *where, "--json", input=b"a\n\nb\n" + b"x" * 3000 + b"\nc\n")
    assert result.exit_code == Exit.REFUSED
    assert "message 3 was refused: 30" in result.stderr
    found = json.loads(result.stdout)
    assert (found["read"], found["written"], found["refused"]) == (3, 2, 1)
    assert [value for _, value, _ in log(embedded_cluster, "t")] == [b"a", b"b"]


@LANES
def test_a_message_without_end_is_not_read_to_its_end(run, embedded_cluster, lane):
    embedded_cluster.create_topic("t")
    where = ["-b", embedded_cluster.bootstrap_servers, "-t", "t", "--lane", lane]
    result = run("send", *where, input=b"a\n" + b"x" * 4 * READ)
    assert result.exit_code == Exit.REFUSED
    assert "message 2 was refused" in result.stderr
    assert "1 written" in result.stderr


def test_what_the_broker_refuses(run, embedded_cluster):
    embedded_cluster.create_topic("t")
    embedded_cluster.push_errors(ApiKey.PRODUCE, [0, "TOPIC_AUTHORIZATION_FAILED"])
    where = ["-b", embedded_cluster.bootstrap_servers, "-t", "t", "-X", "batch.num.messages=1"]
    result = run("send", *where, "--json", input=b"a\nb\nc\n")
    assert result.exit_code == Exit.NOT_WRITTEN
    assert "TOPIC_AUTHORIZATION_FAILED" in result.stderr
    found = json.loads(result.stdout)
    assert (found["read"], found["written"]) == (3, 1)
    assert found["unknown"] == 0
    assert [value for _, value, _ in log(embedded_cluster, "t")] == [b"a"]


def test_an_answer_that_does_not_come_is_unknown(run, embedded_cluster):
    embedded_cluster.create_topic("t")
    embedded_cluster.set_rtt(10_000)
    where = ["-b", embedded_cluster.bootstrap_servers, "-t", "t", "-X", "message.timeout.ms=1000"]
    embedded_cluster.set_rtt(0)
    for broker in embedded_cluster.broker_ids:
        embedded_cluster.push_broker_errors(broker, ApiKey.PRODUCE, [(0, 10_000)])
    result = run("send", *where, input=b"a\n")
    assert result.exit_code == Exit.UNKNOWN
    assert "1 unknown" in result.stderr


@LANES
def test_a_cluster_that_is_not_there(run, lane):
    result = run("send", "-b", "127.0.0.1:1", "-t", "t", "--lane", lane, "-X", "message.timeout.ms=200", input=b"a\n")
    assert result.exit_code == Exit.UNAVAILABLE
    assert "no broker answered in time, bootstrap.servers=127.0.0.1:1" in result.stderr
    assert "0 written to topic 't', 1 not sent" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-b", "x:1"], "Missing option '-t'"),
        (["-b", "x:1", "-t", "t", "-D", ""], "at least one character"),
        (["-b", "x:1", "-t", "t", "-K", "\\xzz"], "hexadecimal"),
        (["-b", "x:1", "-t", "t", "-H", "=x"], "expected NAME=VALUE"),
        (["-b", "x:1", "-t", "t", "-z", "zip"], "'zip' is not one of"),
        (["-b", "x:1", "-t", "t", "-p", "-2"], "-2"),
        (["-b", "x:1", "-t", "t", "no-such-file"], "no-such-file"),
        (["-t", "t"], "-b HOST:PORT is missing"),
    ],
)
def test_wrong_usage(run, arguments, words):
    result = run("send", *arguments, input=b"a\n")
    assert result.exit_code == Exit.USAGE
    assert words in result.stderr


def test_messages_go_when_they_come(start, embedded_cluster):
    """A pipe that stays open holds nothing back; SIGTERM and Ctrl-C end it with a summary."""
    embedded_cluster.create_topic("t")
    for number, (stop, code) in enumerate([(signal.SIGINT, Exit.INTERRUPTED), (signal.SIGTERM, Exit.TERMINATED)], 1):
        with start("send", "-b", embedded_cluster.bootstrap_servers, "-t", "t") as process:
            process.stdin.write(b"hello\nunfini")
            process.stdin.flush()
            while len(embedded_cluster.records("t")) < number:
                assert process.poll() is None
            process.send_signal(stop)
            said = process.stderr.read().decode()
            assert process.wait(60) == code
        assert "1 written to topic 't'" in said
        assert "Traceback" not in said
    assert [one.value for one in embedded_cluster.records("t")] == [b"hello"] * 2


def test_ctrl_c_twice_leaves_a_verdict(start, embedded_cluster):
    """The first one waits for what was sent, the second one gives it up."""
    embedded_cluster.create_topic("t")
    hold_answers(embedded_cluster)
    with start("send", "--lane", "throughput", "-b", embedded_cluster.bootstrap_servers, "-t", "t") as process:
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        until_requests(embedded_cluster)
        process.send_signal(signal.SIGINT)
        assert b"Ctrl-C again" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        said = process.stderr.read().decode()
        assert process.wait(60) == Exit.INTERRUPTED
    assert said.endswith("twolane: 0 written to topic 't', 1 unknown\n")


def test_delimiters():
    assert [delimiter(text) for text in (r"\t\n\n", r"\x54!\x45\x53T", r"\x30", "é")] == [
        b"\t\n\n",
        b"T!EST",
        b"0",
        "é".encode(),
    ]


class Pipe:
    """A file that gives what it is told to, read by read."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = iter(parts)

    def read1(self, size: int) -> bytes:
        return next(self._parts, b"")


def test_a_delimiter_may_be_cut_by_a_read():
    pipe = Pipe(b"a;", b";b;;", b"c", b";", b";;;d")
    assert [part.values for part in Format(delimiter=b";;").split(pipe)] == [[b"a", b"b"], [b"c"], [b"d"]]
