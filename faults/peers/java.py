"""Kafka's own producer, by its VerifiableProducer: one line for each acknowledgement.

Its values are its own, so only the times of its acknowledgements are comparable, not the log.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faults.history import ENDED, UNKNOWN, WRITTEN, rows_of
from twolane.testing.java import java_command, kafka_jars

if TYPE_CHECKING:
    from faults.control import Control
    from faults.history import HistoryWriter
    from faults.workload import Workload

CLASS = "org.apache.kafka.tools.VerifiableProducer"
RATE = 1000
END_SECONDS = 30.0


def send(workload: Workload, control: Control, history: HistoryWriter) -> None:
    """Let Java send at a rate until told to stop."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "producer.properties")
        timeout = int(workload.config.get("message_timeout_ms", 30_000))
        settings = {
            "enable.idempotence": str(workload.idempotence).lower(),
            "delivery.timeout.ms": timeout,
            "request.timeout.ms": min(timeout, int(workload.config.get("request_timeout_ms", timeout))),
            "linger.ms": 0,
            "retries": (1 << 31) - 1,  # the tool's own are none
        }
        config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        arguments = ["--bootstrap-server", workload.bootstrap, "--topic", workload.topic, "--acks", "-1"]
        arguments += ["--throughput", str(workload.records_per_second or RATE), "--command-config", str(config)]
        command = java_command(kafka_jars(), CLASS, arguments, ["-Xmx256m", "-XX:+UseSerialGC"])
        # A client that is killed leaves no JVM behind.
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdout=subprocess.PIPE, text=True)
        reader = threading.Thread(target=_read, args=(process, history))
        reader.start()
        control.stopping.wait()
        process.terminate()  # its shutdown hook closes the producer
        process.wait(END_SECONDS)
        reader.join()


def _read(process: subprocess.Popen[str], history: HistoryWriter) -> None:
    """Note each line's verdict, at the time of the line: the tool's own clock is the wall's."""
    assert process.stdout is not None
    ahead = time.monotonic_ns() - time.time_ns()
    for line in process.stdout:
        said = json.loads(line) if line.startswith("{") else {}
        name = said.get("name")
        if name in ("producer_send_success", "producer_send_error"):
            verdict = WRITTEN if name == "producer_send_success" else UNKNOWN
            at = np.int64(int(said["timestamp"]) * 1_000_000 + ahead)
            history.ended(
                rows_of(
                    ENDED,
                    1,
                    at=at,
                    verdict=verdict,
                    partition=said.get("partition") or -1,
                    offset=said.get("offset") or -1,
                )
            )
