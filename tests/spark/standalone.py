"""A standalone cluster of Spark on several hosts: a speculative copy of a task never runs on the task's own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from types import TracebackType

MASTER = "127.0.0.1"
WORKERS = ("127.0.0.2", "127.0.0.3")
_START_SECONDS = 120
_LOG = """\
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %m%n
"""


class StandaloneSpark:
    """A master and two workers with one core each, as child processes that end with the block.

    Attributes
    ----------
    url : str
        What ``SparkSession.builder.master()`` takes.
    """

    url: str

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            master = self._start("master", "master.Master", "--host", MASTER, "--port", "0", "--webui-port", "0")
            line = wait_until(lambda: self._line(master, "Starting Spark master at "), _START_SECONDS)
            self.url = line.rpartition(" ")[2]
            limits = ("--cores", "1", "--memory", "1G", "--webui-port", "0", "--work-dir", str(self._folder))
            logs = [self._start(host, "worker.Worker", "--host", host, *limits, self.url) for host in WORKERS]
            for log in logs:
                wait_until(lambda log=log: self._line(log, "Successfully registered with master"), _START_SECONDS)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self, name: str, program: str, *arguments: str) -> Path:
        import pyspark

        command = [Path(pyspark.__file__).parent / "bin" / "spark-class", f"org.apache.spark.deploy.{program}"]
        settings = self._folder / "log4j2.properties"
        settings.write_text(_LOG)
        environment = {**os.environ, "SPARK_DAEMON_JAVA_OPTS": f"-Dlog4j2.configurationFile={settings}"}
        log = self._folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen([*command, *arguments], stdout=output, stderr=output, env=environment)
        self._processes.append(process)
        return log

    @staticmethod
    def _line(log: Path, text: str) -> str:
        return next((line for line in log.read_text(errors="replace").splitlines() if text in line), "")

    def _stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            process.wait(60)
