"""One producer per process and kind of options: made at the first task, used by the next ones, closed at the end."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any

from twolane.common.process_exit import Exits
from twolane.errors import TwolaneError
from twolane.safe.producer import SafeProducer
from twolane.throughput.producer import ThroughputProducer

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from twolane.sinks.options import SinkOptions

_PRODUCERS: dict[str, type[SafeProducer | ThroughputProducer]] = {
    "safe": SafeProducer,
    "throughput": ThroughputProducer,
}


class _Shared:
    """A producer and how many tasks use it."""

    def __init__(self, producer: SafeProducer | ThroughputProducer) -> None:
        self.producer = producer
        self.users = 0
        self.failed = False


_shared: dict[Hashable, _Shared] = {}
_lock = threading.Lock()


@contextlib.contextmanager
def shared_producer(options: SinkOptions) -> Iterator[SafeProducer | ThroughputProducer]:
    """Lend this process' producer for the options, which are without a ``transactional.id``.

    After a task that failed the next one gets a producer of its own: what the failed one left in the old one, from
    records on their way to partitions in doubt, is not mixed with an attempt that writes them again. The old one is
    closed behind its last user.
    """
    identity = (options.lane, tuple(sorted((key, _named(value)) for key, value in options.config.items())))
    with _lock:
        entry = _shared.get(identity)
        if entry is None:
            entry = _shared[identity] = _Shared(open_producer(options))
            _exits.watch()
        entry.users += 1
    try:
        yield entry.producer
    except BaseException:
        entry.failed = True
        raise
    finally:
        with _lock:
            entry.users -= 1
            if entry.failed and _shared.get(identity) is entry:
                del _shared[identity]
            is_last = entry.failed and not entry.users
        if is_last:
            close_quietly(entry.producer)


def open_producer(options: SinkOptions, **more: Any) -> SafeProducer | ThroughputProducer:
    """Make a producer; `more` are settings in place of those of the options."""
    return _PRODUCERS[options.lane]({**options.config.resolved(), **more})


def close_quietly(producer: SafeProducer | ThroughputProducer) -> None:
    """Close a producer whose records have been reported, or whose task is about to report them."""
    with contextlib.suppress(TwolaneError, TimeoutError):
        producer.close()


def open_producers() -> list[SafeProducer | ThroughputProducer]:
    """Return the producers that this process keeps for its next tasks."""
    return [entry.producer for entry in _shared.values()]


def _named(value: Any) -> Any:
    """Return what makes settings differ: a function is another object in each task that it is sent to."""
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', repr(value))}"
    return str(value)


def _close_all() -> None:
    with _lock:
        left = list(_shared.values())
        _shared.clear()
    for entry in left:
        close_quietly(entry.producer)


def _forget() -> None:
    """Begin anew in a child process: the producers are the parent's, and a thread of it may have held the lock."""
    global _lock
    _lock = threading.Lock()
    _shared.clear()


_exits = Exits(_close_all)
os.register_at_fork(after_in_child=_forget)
