"""What a program does beside sending: fork, and come and go."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import twolane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from faults.history import HistoryWriter
    from faults.senders import Sender
    from faults.workload import Workload

FORK_SECONDS, CHILD_SECONDS = 0.3, 20
# Threads and descriptors that may be left of a thousand producers: none each.
LEFT_OVER = 8
IN_FORK, SENT = 0, 3


@contextlib.contextmanager
def beside(workload: Workload, sender: Sender, history: HistoryWriter) -> Iterator[None]:
    """Do what the workload's behaviour says until the block ends."""
    works = {"fork": _fork_often, "cycles": _come_and_go}
    work = works.get(workload.behaviour)
    if work is None:
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_watched, args=(work, workload, sender, history, over), name=workload.behaviour)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watched(work: Callable[..., None], *arguments: Any) -> None:
    history: HistoryWriter = arguments[2]
    try:
        work(*arguments)
    except BaseException as error:
        history.event("unexpected", error=repr(error))


def _fork_often(workload: Workload, sender: Sender, history: HistoryWriter, over: threading.Event) -> None:
    """Fork children that try the parent's producer: each is refused, and none takes anything of the parent's along."""
    n = 0
    while not over.wait(FORK_SECONDS):
        child = os.fork()
        if child == 0:
            _try_in_child(sender.blocking, workload.topic)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        n += 1
        if code != IN_FORK:
            history.event("unexpected", error=f"a forked child ended with {code}")
    history.event("forked", times=n)


def _try_in_child(producer: Any, topic: str) -> None:
    code = SENT
    try:
        signal.alarm(CHILD_SECONDS)
        producer.send(topic, b"of a child", partition=0, timeout=1)
    except twolane.ForkedProducerError:
        code = IN_FORK
    finally:
        os._exit(code)


def _come_and_go(workload: Workload, sender: Sender, history: HistoryWriter, over: threading.Event) -> None:
    """Make producers of both lanes and close them; nothing of them is left."""
    settings = {name: value for name, value in workload.settings.items() if name != "transactional_id"}
    n, before = 0, (0, 0)
    while not over.is_set():
        for kind in (twolane.SafeProducer, twolane.ThroughputProducer):
            kind(**settings).close(1)
            n += 1
        if n == 10:
            before = _in_use()
    after = _in_use()
    history.event("cycles", times=n, threads=[before[0], after[0]], descriptors=[before[1], after[1]])
    if n > 10 and any(late > early + LEFT_OVER for early, late in zip(before, after, strict=True)):
        history.event("unexpected", error=f"{n} producers left threads and descriptors: {before}, then {after}")


def _in_use() -> tuple[int, int]:
    return len(list(Path("/proc/self/task").iterdir())), len(list(Path("/proc/self/fd").iterdir()))
