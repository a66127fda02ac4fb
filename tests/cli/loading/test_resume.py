"""``twolane load --resume`` behind a kill -9: nothing lost, doubled only what was in doubt and was said to be."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.packaging.sources import ROOT

if TYPE_CHECKING:
    from twolane.testing import EmbeddedCluster, KafkaCluster
    from twolane.testing.plugin import TopicFactory

KILLED = Path(__file__).with_name("killed.py")
CHUNK = 20
# Steps of killed.py that a run makes at most: some chunks.
STEPS = 40
# On each lane.
KILLS = 25
# Of so many rows one has a partition that does not exist, and one line is broken.
BAD_EVERY = 50


def load(event: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(KILLED), str(event), "load", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=False,
    )


def write_rows(path: Path, n: int) -> tuple[set[int], int]:
    """Write rows, some of them bad; return the good ones' numbers, and how many are bad."""
    good, bad = set(), 0
    with path.open("w") as file:
        for i in range(n):
            if i % BAD_EVERY == 17:
                file.write(f'{{"id": {i}, broken\n')
                bad += 1
            partition = 99 if i % BAD_EVERY == 33 else i % 3
            if partition == 99:
                bad += 1
            else:
                good.add(i)
            file.write(json.dumps({"id": i, "to": partition, "topic": "tu"[i // 7 % 2]}) + "\n")
    return good, bad


@pytest.mark.skipif(os.name != "posix", reason="kills itself with SIGKILL")
@pytest.mark.parametrize("event", [1, 2, 3])
def test_a_kill_around_the_first_line(embedded_cluster: EmbeddedCluster, tmp_path: Path, event: int) -> None:
    source, state = tmp_path / "rows.jsonl", tmp_path / "state"
    source.write_text('{"id": 1}\n')
    arguments = (source, "-b", embedded_cluster.bootstrap_servers, "-t", "t", "--state", state, "--resume")
    assert load(event, *arguments).returncode == -9
    done = load(-1, *arguments)
    assert done.returncode == 0, done.stderr
    assert len(embedded_cluster.records("t")) == 1


@pytest.mark.skipif(os.name != "posix", reason="kills itself with SIGKILL")
@pytest.mark.parametrize(
    ("lane", "event", "found", "sent_again"),
    [
        ("safe", 6, 0, 20),  # behind the line that says that the rows are handed over
        ("safe", 9, 20, 0),  # behind send_batch(): all was acknowledged
        ("safe", 11, 20, 0),  # in the line that says so
        ("throughput", 7, 0, 20),  # before send_batch(), which returns before the brokers have anything
        ("throughput", 11, 20, 0),
    ],
)
def test_what_is_in_the_log_is_not_sent_again(
    embedded_cluster: EmbeddedCluster, tmp_path: Path, lane: str, event: int, found: int, sent_again: int
) -> None:
    source, state = tmp_path / "rows.jsonl", tmp_path / "state"
    source.write_text('{"id": 1}\n' * 10 + '{"id": 2}\n' * 10)  # equal rows are told apart by their number
    arguments = (
        *(source, "-b", embedded_cluster.bootstrap_servers, "-t", "t", "--state", state, "--resume", "--json"),
        *("--lane", lane, "--chunk", CHUNK),
    )
    assert load(event, *arguments).returncode == -9
    result = json.loads(load(-1, *arguments).stdout)
    assert (result["found"], result["sent_again"], result["position"]) == (found, sent_again, CHUNK)
    assert sorted(record.value for record in embedded_cluster.records("t")) == [b'{"id":1}'] * 10 + [b'{"id":2}'] * 10


@pytest.mark.skipif(os.name != "posix", reason="kills itself with SIGKILL")
@pytest.mark.parametrize(
    ("lane", "kills", "seed", "to"),
    [
        ("safe", 5, 1, ("-t", "t")),
        ("throughput", 3, 2, ("--topic-column", "topic")),
        pytest.param("safe", KILLS, 3, ("--topic-column", "topic"), marks=pytest.mark.long),
        pytest.param("throughput", KILLS, 4, ("-t", "t"), marks=pytest.mark.long),
    ],
)
def test_a_load_goes_on_behind_kills(
    embedded_cluster: EmbeddedCluster, tmp_path: Path, lane: str, kills: int, seed: int, to: tuple[str, str]
) -> None:
    topics = ("t",) if to == ("-t", "t") else ("t", "u")
    for topic in topics:
        embedded_cluster.create_topic(topic, partitions=3)
    go_on_behind_kills(embedded_cluster, topics, tmp_path, kills, seed, *to, "--lane", lane)


@pytest.mark.skipif(os.name != "posix", reason="kills itself with SIGKILL")
def test_on_real_brokers(kafka_cluster: KafkaCluster, topic: TopicFactory, tmp_path: Path) -> None:
    name = topic(kafka_cluster, partitions=3)
    go_on_behind_kills(kafka_cluster, (name,), tmp_path, 3, 5, "-t", name)


def go_on_behind_kills(
    cluster: EmbeddedCluster | KafkaCluster, topics: tuple[str, ...], folder: Path, kills: int, seed: int, *options: str
) -> None:
    """Kill a load and go on with it, so often; look at the log, the result and the file of bad rows."""
    choose = random.Random(seed)
    source, state, bad = folder / "rows.jsonl", folder / "state", folder / "bad.jsonl"
    good, bad_rows = write_rows(source, 3 * CHUNK * (kills + 1))
    arguments = (
        *(source, "-b", cluster.bootstrap_servers, *options, "--partition", "to"),
        *("--chunk", CHUNK, "--on-bad-row", "skip", "--bad", bad, "--state", state, "--resume", "--json"),
    )
    said = killed = 0
    while True:
        done = load(choose.randrange(1, STEPS) if killed < kills else -1, *arguments)
        said += sum(map(int, re.findall(r": (\d+) were in doubt, are not in the log", done.stderr)))
        if done.returncode != -9:
            break
        killed += 1
    assert done.returncode == 2, done.stderr  # rows were refused
    result = json.loads(done.stdout)
    assert killed == kills
    assert result["refused"] == bad_rows
    assert result["unknown"] == result["not_written"] == 0
    records = [record for topic in topics for record in cluster.records(topic)]
    times = Counter(json.loads(record.value)["id"] for record in records)
    assert set(times) == good
    assert sum(times.values()) - len(times) <= said
    for place in {(record.topic, record.partition) for record in records}:
        ids = [json.loads(record.value)["id"] for record in records if (record.topic, record.partition) == place]
        first_times = list(dict.fromkeys(ids))
        assert first_times == sorted(first_times)
    named = [json.loads(line) for line in bad.read_text().splitlines()]
    assert len(named) == bad_rows
    assert len({str(line["row"]) for line in named}) == bad_rows
