"""Threads that do the same again and again, and the records that they encode."""

from __future__ import annotations

import datetime
import itertools
import threading
import time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tests.support.avro import record_of

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = 8
SECONDS = 1.0


def together(*works: Callable[[int], None], seconds: float = SECONDS, least: int = 3) -> None:
    """Run each work in a thread of its own, again and again, until the time is over; raise the first error of any."""
    ready = threading.Barrier(len(works))
    failed: list[BaseException] = []

    def run(work: Callable[[int], None]) -> None:
        ready.wait()
        end = time.monotonic() + seconds
        try:
            for i in itertools.count():
                if failed or (i >= least and time.monotonic() > end):
                    return
                work(i)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread hangs"
    if failed:
        raise failed[0]


INNER = record_of("Inner", x="long", word=["null", "string"])
ZONES = [
    datetime.UTC,
    ZoneInfo("Europe/Berlin"),
    *(datetime.timezone(datetime.timedelta(minutes=minutes)) for minutes in (-690, -60, 60, 330, 840)),
]
