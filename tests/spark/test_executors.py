"""Executors lost, stages run again and speculative copies, on clusters of real executor processes."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.spark.standalone import StandaloneSpark
from tests.support.readers import read_all
from tests.support.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twolane.testing import EmbeddedCluster

pyspark = pytest.importorskip("pyspark", reason="engines are not installed: make test-engines")
pytestmark = [
    pytest.mark.engines,
    pytest.mark.slow,
    *(pytest.mark.filterwarnings(f"ignore::{name}Warning") for name in ("Resource", "Deprecation", "Future")),
]
lanes = pytest.mark.parametrize("lane", ["safe", "throughput"])
# As soon as one task of two has ended, the other one gets a copy.
SPECULATION = {
    "spark.speculation": "true",
    "spark.speculation.interval": "100ms",
    "spark.speculation.quantile": "0.1",
    "spark.speculation.multiplier": "1.0",
    "spark.speculation.efficiency.enabled": "false",
}


@pytest.fixture
def start_spark(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start a session with two executors of one core each."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    builder = (
        SparkSession.builder.config("spark.ui.enabled", "false")
        .config("spark.executorEnv.PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.warehouse.dir", str(tmp_path / "warehouse"))
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "100")
        .config("spark.sql.adaptive.enabled", "false")
        .config("spark.log.level", "OFF")
    )
    sessions = []

    def start(master: str = "local-cluster[2,1,1024]", config: dict[str, str] | None = None) -> Any:
        sessions.append(builder.master(master).config(map=config or {}).getOrCreate())
        return sessions[-1]

    yield start
    for session in sessions:
        session.stop()


def write(df: Any, servers: str, topic: str = "t", **options: str) -> None:
    writer = df.write.format("twolane").mode("append").option("topic", topic)
    writer.options(**{"kafka.bootstrap.servers": servers, "mark": "true", "chunk": "100", **options}).save()


def executors_killed_by(servers: str, topic: str, killed: Path, *, all_of_them: bool) -> Callable[[Any], Any]:
    """Return what passes batches on, and kills executors once the first record of the batches is in the log."""

    def kill_the_executors(batches: Any) -> Any:
        import psutil

        for number, batch in enumerate(batches):
            if number == 5 and not killed.exists():
                killed.touch()
                # Waits for the first record.
                assert read_all(servers, topic, [0], expected=1, timeout=120, isolation_level="read_uncommitted")
                daemon = psutil.Process().parent()
                own = daemon.parent()
                # Executors and their Python processes, as when a machine is lost; this one last.
                executors = own.parent().children() if all_of_them else [own]
                for executor in [one for one in executors if one != own] + [own]:
                    for one in [executor, *executor.children(recursive=True)]:
                        if one.pid != os.getpid():
                            one.send_signal(signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    return kill_the_executors


def attempts_of(log: Any) -> dict[bytes, list[int]]:
    """Return the ids of the rows that each attempt of a task has in the log."""
    found: dict[bytes, list[int]] = {}
    for record in log:
        found.setdefault(dict(record.headers)["twolane-task"], []).append(json.loads(record.value)["id"])
    return found


@lanes
def test_an_executor_killed_in_mid_task(
    start_spark: Callable[..., Any], embedded_cluster: EmbeddedCluster, tmp_path: Path, lane: str
) -> None:
    """Nothing is lost: Spark starts the task again elsewhere; the marks tell what the killed attempt had written."""
    import twolane.spark

    spark = start_spark()
    metrics = twolane.spark.register(spark)
    embedded_cluster.create_topic("t")
    servers = embedded_cluster.bootstrap_servers
    df = spark.range(0, 1000, 1, 1).selectExpr("id", "repeat('x', 1000) AS filler")
    kill = executors_killed_by(servers, "t", tmp_path / "killed", all_of_them=False)
    write(df.mapInArrow(kill, "id long, filler string"), servers, lane=lane)
    killed, whole = sorted(attempts_of(read_all(servers, "t")).values(), key=len)
    assert sorted(whole) == list(range(1000))
    assert 0 < len(killed) <= metrics.maybe_twice.value == 1000
    assert metrics.retried.value == 1


@lanes
def test_a_stage_that_is_run_again(
    start_spark: Callable[..., Any], embedded_cluster: EmbeddedCluster, tmp_path: Path, lane: str
) -> None:
    """The rows' shuffle files are lost with all executors: Spark counts attempts from 0 anew, the marks do not."""
    import twolane.spark

    spark = start_spark()
    metrics = twolane.spark.register(spark)
    embedded_cluster.create_topic("t")
    servers, report = embedded_cluster.bootstrap_servers, tmp_path / "report.json"
    rows = spark.range(0, 1000, 1, 2).selectExpr("id", "repeat('x', 1000) AS filler").repartition(1)
    kill = executors_killed_by(servers, "t", tmp_path / "killed", all_of_them=True)
    write(rows.mapInArrow(kill, "id long, filler string"), servers, lane=lane, report=str(report))
    killed, whole = sorted(attempts_of(read_all(servers, "t")).values(), key=len)
    assert sorted(whole) == list(range(1000))
    assert 0 < len(killed) <= 1000
    assert set(killed) <= set(whole)
    # docs/spark.md says so: the report does not know of it.
    told = json.loads(report.read_text())
    assert (told["written"], told["retried"], told["maybe_twice"]) == (1000, 0, 0)
    assert metrics.written.value == 1000


@pytest.mark.cluster
@lanes
def test_a_stage_that_is_run_again_in_transactions(
    start_spark: Callable[..., Any], kafka_cluster: Any, twolane_topic: Any, tmp_path: Path, lane: str
) -> None:
    """The task is the same one to Kafka, whatever Spark calls the attempt: each row can be read once."""
    import twolane.spark

    spark = start_spark()
    twolane.spark.register(spark)
    topic, servers = twolane_topic(kafka_cluster), kafka_cluster.bootstrap_servers
    rows = spark.range(0, 1000, 1, 2).selectExpr("id", "repeat('x', 1000) AS filler").repartition(1)
    kill = executors_killed_by(servers, topic, tmp_path / "killed", all_of_them=True)
    write(
        rows.mapInArrow(kill, "id long, filler string"), servers, topic, lane=lane, **{"kafka.transactional.id": topic}
    )
    (whole,) = attempts_of(read_all(servers, topic, isolation_level="read_committed")).values()
    assert sorted(whole) == list(range(1000))
    assert len(attempts_of(read_all(servers, topic, isolation_level="read_uncommitted"))) == 2


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneSpark]:
    with StandaloneSpark(tmp_path_factory.mktemp("spark")) as cluster:
        yield cluster


def held_attempt(servers: str, folder: Path, *, copy_wins: bool) -> Callable[[Any], Any]:
    """Return what passes batches on, and of two attempts of task 1 holds the one that is not to win until it is killed.

    The held one has rows in the log by then: a copy that is to lose says so to the first attempt, which waits for it.
    """

    def pass_on(batches: Any) -> Any:
        from pyspark import TaskContext

        context: Any = TaskContext.get()
        is_copy = context.attemptNumber() > 0
        for number, batch in enumerate(batches):
            if number == 5 and context.partitionId() == 1:
                if is_copy is copy_wins:
                    wait_until((folder / "held").exists)
                else:
                    wait_until(lambda: len(attempts_of(read_all(servers, "t", [1]))) > context.attemptNumber())
                    (folder / "held").touch()
                    time.sleep(10 * PATIENCE)
            yield batch

    return pass_on


@lanes
@pytest.mark.parametrize("copy_wins", [True, False])
def test_a_speculative_copy(
    standalone: StandaloneSpark,
    start_spark: Callable[..., Any],
    embedded_cluster: EmbeddedCluster,
    tmp_path: Path,
    copy_wins: bool,
    lane: str,
) -> None:
    """Both write, and the marks tell them apart; the report counts a copy that won, and knows of none that lost."""
    import twolane.spark

    spark = start_spark(standalone.url, SPECULATION)
    twolane.spark.register(spark)
    embedded_cluster.create_topic("t", partitions=2)
    servers, report = embedded_cluster.bootstrap_servers, tmp_path / "report.json"
    rows = spark.range(0, 2000, 1, 2).selectExpr(
        "id", "CAST(id >= 1000 AS INT) AS place", "repeat('x', 1000) AS filler"
    )
    rows = rows.mapInArrow(held_attempt(servers, tmp_path, copy_wins=copy_wins), "id long, place int, filler string")
    write(rows, servers, lane=lane, partition="place", report=str(report))
    (alone,) = attempts_of(read_all(servers, "t", [0])).values()
    assert sorted(alone) == list(range(1000))
    held, whole = sorted(attempts_of(read_all(servers, "t", [1])).values(), key=len)
    assert sorted(whole) == list(range(1000, 2000))
    assert 0 < len(held) < 1000
    told = json.loads(report.read_text())
    assert told["written"] == 2000
    assert (told["retried"], told["maybe_twice"]) == ((1, 1000) if copy_wins else (0, 0))
