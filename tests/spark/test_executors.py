"""An executor killed in mid-task, on a local cluster of real executor processes."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.readers import read_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twolane.testing import EmbeddedCluster

pyspark = pytest.importorskip("pyspark", reason="engines are not installed: make test-engines")
pytestmark = [
    pytest.mark.slow,
    *(pytest.mark.filterwarnings(f"ignore::{name}Warning") for name in ("Resource", "Deprecation", "Future")),
]


@pytest.fixture
def spark(tmp_path: Path) -> Iterator[Any]:
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    session = (
        SparkSession.builder.master("local-cluster[2,1,1024]")
        .config("spark.ui.enabled", "false")
        .config("spark.executorEnv.PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.warehouse.dir", str(tmp_path / "warehouse"))
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "100")
        .config("spark.log.level", "OFF")
        .getOrCreate()
    )
    yield session
    session.stop()


def test_an_executor_killed_in_mid_task(spark: Any, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    """Nothing is lost: Spark starts the task again elsewhere; the marks tell what the killed attempt had written."""
    import twolane.spark

    metrics = twolane.spark.register(spark)
    embedded_cluster.create_topic("t")
    killed, servers = tmp_path / "killed", embedded_cluster.bootstrap_servers

    def kill_the_executor(batches: Any) -> Any:
        import psutil

        for number, batch in enumerate(batches):
            if number == 5 and not killed.exists():
                killed.touch()
                assert read_all(servers, "t", [0], expected=1, timeout=120)  # waits for the first record
                daemon = psutil.Process().parent()
                # The executor and its Python processes, as when a machine is lost.
                for one in [daemon.parent(), daemon, *daemon.children()]:
                    if one.pid != os.getpid():
                        one.send_signal(signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    df = spark.range(0, 1000, 1, 1).selectExpr("id", "repeat('x', 1000) AS filler")
    df = df.mapInArrow(kill_the_executor, "id long, filler string")
    writer = df.write.format("twolane").mode("append").option("topic", "t")
    writer.options(**{"kafka.bootstrap.servers": servers, "mark": "true", "chunk": "100"}).save()
    log = read_all(servers, "t")
    attempts = Counter(int(record.headers[0][1].decode().split("/")[-1]) for record in log)
    assert Counter(json.loads(record.value)["id"] for record in log).keys() == set(range(1000))
    (_, killed_wrote), (_, rest) = sorted(attempts.items())
    assert rest == 1000
    assert 0 < killed_wrote <= metrics.maybe_twice.value == 1000
    assert metrics.retried.value == 1
