"""Tasks of Celery's prefork pool: ``celery --app tasks worker --pool prefork``."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_shutdown
from one_per_process import safe, throughput

app = Celery("tasks", broker=os.environ["CELERY_BROKER"])
app.conf.broker_transport_options = {
    "data_folder_in": os.environ["CELERY_FOLDER"],
    "data_folder_out": os.environ["CELERY_FOLDER"],
    "control_folder": os.environ["CELERY_FOLDER"] + "/control",
}


@app.task  # type: ignore[misc]
def order(number: int) -> None:
    """Write a record; a task that is done is in the log."""
    safe().send("orders", str(number), key=str(number), timeout=10)


@app.task  # type: ignore[misc]
def click(number: int) -> None:
    """Count a record and write it soon."""
    throughput().send("clicks", str(number))


@worker_process_shutdown.connect  # type: ignore[misc]
def close(**_: Any) -> None:
    """Drain: Celery's workers end without the interpreter's own exit functions."""
    throughput().close(timeout=10)
