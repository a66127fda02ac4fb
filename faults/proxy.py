"""A proxy that misbehaves on order, between any Kafka client and real brokers.

Brokers have a listener that tells clients to come to the proxy's ports (`KafkaCluster.proxied`), so nothing but Produce
requests needs to be understood here, and any client works through it. Answers of one connection keep their order, as on
a real one: an answer that is held back holds back those behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
import threading
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from faults import produce_wire as wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from faults.produce_wire import ProduceRequest

HOST = "127.0.0.1"
START_SECONDS = 10.0
GHOST_ANSWER_SECONDS = 10.0
LAST_TURNS = 5
# How often an answer looks whether it may go.
GATE_SECONDS = 0.01


@dataclass(frozen=True)
class Action:
    """What happens to one Produce request; made by the functions below."""

    kind: str
    code: int = 0
    seconds: float = 0.0
    until: threading.Event | None = None
    value: bytes = b""

    def __str__(self) -> str:
        return f"{self.kind}({self.code or ''}{', ' if self.code and self.seconds else ''}{self.seconds or ''})"


def forward() -> Action:
    """Pass it on."""
    return Action("forward")


def refuse(code: int, after: float = 0.0, until: threading.Event | None = None) -> Action:
    """Answer with an error; the broker never sees it. `after` seconds, the client having time to send more.

    With `until` the answer waits for that, too.
    """
    return Action("refuse", code, after, until)


def falsify(code: int, after: float = 0.0, until: threading.Event | None = None) -> Action:
    """Pass it on, and replace the error code of the answer: an error after the append, `after` seconds late.

    With `until` the answer waits for that, too.
    """
    return Action("falsify", code, after, until)


def delay(seconds: float) -> Action:
    """Pass it on, and answer late."""
    return Action("delay", 0, seconds)


def drop() -> Action:
    """Pass it on; the answer, and all behind it in that connection, never arrive."""
    return Action("drop")


def close_before() -> Action:
    """Close the connection; the broker never sees it."""
    return Action("close_before")


def close_after() -> Action:
    """Pass it on, and close the connection when the broker has answered."""
    return Action("close_after")


def truncate() -> Action:
    """Pass it on, and close the connection in the middle of the answer."""
    return Action("truncate")


def hold(seconds: float) -> Action:
    """Swallow it, and deliver it to the broker later in a connection of its own: a ghost write."""
    return Action("hold", 0, seconds)


def repeat(value: bytes) -> Action:
    """Pass the first request that carried `value` on in its place: the broker sees a number for the second time."""
    return Action("repeat", value=value)


def once(actions: Mapping[bytes, Action]) -> Callable[[Seen], Action]:
    """Return a rule: the first request that carries one of these values has its action, all others pass."""
    left = dict(actions)

    def rule(seen: Seen) -> Action:
        for value in list(left):
            if value in seen.request:
                return left.pop(value)
        return forward()

    return rule


class Seen(NamedTuple):
    """One Produce request that came by."""

    number: int
    broker: int
    at: float
    request: ProduceRequest
    action: Action


class Ghost(NamedTuple):
    """One held request that was delivered, and what the broker said to it."""

    at: float
    request: ProduceRequest
    errors: list[int]


# The end of a connection, in the place of an answer.
CLOSE = b""


class Half(bytes):
    """An answer of which half is sent, and then the end of the connection."""


class FaultProxy:
    """Listens in the brokers' place; a context manager.

    `routes` is broker id -> (port to listen on, port of the broker), see `KafkaCluster.proxied`; `hosts` says where
    brokers are that are not on the loopback interface.

    What happens to a Produce request is said, in this order, by the list of `then`, by `rule`, else it is passed on.
    `round_trip` seconds are added to every answer. `seen` and `ghosts` witness what happened.
    """

    def __init__(self, routes: Mapping[int, tuple[int, int]], hosts: Mapping[int, str] | None = None) -> None:
        self._routes = dict(routes)
        self._hosts = {**dict.fromkeys(routes, HOST), **(hosts or {})}
        self._script: list[Action] = []
        self.rule: Callable[[Seen], Action] | None = None
        self.round_trip = 0.0
        self.seen: list[Seen] = []
        self.ghosts: list[Ghost] = []
        self.failures: list[BaseException] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._writers: weakref.WeakSet[asyncio.StreamWriter] = weakref.WeakSet()
        self._ready = threading.Event()
        self._stop: asyncio.Event
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)

    @property
    def bootstrap_servers(self) -> str:
        """Where clients begin that shall come through here."""
        return ",".join(f"{HOST}:{listen}" for listen, _ in self._routes.values())

    def then(self, *actions: Action) -> None:
        """Do these to the next Produce requests, one each."""
        self._script.extend(actions)

    def at_random(self, seed: int, weights: Mapping[Action, float]) -> None:
        """Choose for each Produce request, by a generator of this seed."""
        generator, actions = random.Random(seed), list(weights)
        self.rule = lambda seen: generator.choices(actions, [weights[action] for action in actions])[0]

    def clear(self) -> None:
        """Pass everything on from now, and forget what was seen."""
        self._script.clear()
        self.rule, self.round_trip = None, 0.0
        self.seen.clear()
        self.ghosts.clear()

    def wait_for_ghosts(self, count: int = 1, timeout: float = 15.0) -> list[Ghost]:
        """Wait until so many held requests were delivered, and return them."""
        deadline = time.monotonic() + timeout
        while len(self.ghosts) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.ghosts)} of {count} held requests were delivered within {timeout} s")
            time.sleep(0.02)
        return self.ghosts

    def __enter__(self) -> FaultProxy:
        self.start()
        return self

    def start(self) -> None:
        """Listen; `close` is the end."""
        self._thread.start()
        if not self._ready.wait(START_SECONDS) or self.failures:
            self._thread.join()
            raise RuntimeError(f"the proxy did not start: {self.failures}")

    def __exit__(self, *error: object) -> None:
        self._end()
        # A fault that was not ordered would spoil the test silently.
        if self.failures and error[0] is None:
            raise self.failures[0]

    def close(self) -> None:
        """End what `start` began; raise what went wrong in between."""
        self.__exit__(None, None, None)

    def _end(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self.failures.append(error)
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        servers = [await self._listen(broker) for broker in self._routes]
        self._ready.set()
        await self._stop.wait()
        for server in servers:
            server.close()
        # A connection that is being accepted right now becomes one of ours in the next turns of the loop.
        for _ in range(LAST_TURNS):
            await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        # And a transport lets go of its socket in the next turn.
        for _ in range(LAST_TURNS):
            await asyncio.sleep(0)

    async def _listen(self, broker: int) -> asyncio.Server:
        listen, port = self._routes[broker]

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.own(writer)
            self.spawn(Connection(self, broker, (self._hosts[broker], port), reader, writer).serve())

        return await asyncio.start_server(accept, HOST, listen)

    def own(self, writer: asyncio.StreamWriter) -> None:
        """Close this at the end, if that was not done before."""
        self._writers.add(writer)

    def decide(self, broker: int, request: ProduceRequest) -> Action:
        """Return what shall happen to a request, and remember that it came by."""
        seen = Seen(len(self.seen) + 1, broker, time.monotonic(), request, forward())
        if self._script:
            action = self._script.pop(0)
        elif self.rule is not None:
            action = self.rule(seen)
        else:
            action = forward()
        self.seen.append(seen._replace(action=action))
        return action

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """Run a coroutine beside the others; what it raises ends up in `failures`."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._note)
        return task

    def _note(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.failures.append(task.exception())

    async def haunt(self, address: tuple[str, int], request: ProduceRequest, seconds: float) -> None:
        """Deliver a held request."""
        await asyncio.sleep(seconds)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            reader, writer = await asyncio.open_connection(*address)
            self.own(writer)
            try:
                writer.write(framed(request.frame))
                body = await asyncio.wait_for(read_frame(reader), GHOST_ANSWER_SECONDS)
                errors = [partition.error for partition in wire.parse_answer(request.version, body)]
                self.ghosts.append(Ghost(time.monotonic(), request, errors))
            finally:
                writer.close()


def framed(body: bytes) -> bytes:
    """Put the length before a message."""
    return struct.pack(">i", len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Read one message, without its length."""
    (length,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(length)


class Connection:
    """One client's connection and its twin to the broker."""

    def __init__(
        self,
        proxy: FaultProxy,
        broker: int,
        address: tuple[str, int],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy, self._broker, self._address = proxy, broker, address
        self._reader, self._writer = reader, writer
        # Answers owed to the client, in the order of its requests; and what to do with the broker's, by correlation id.
        self._owed: asyncio.Queue[asyncio.Future[bytes]] = asyncio.Queue()
        self._expected: dict[int, tuple[asyncio.Future[bytes], ProduceRequest | None, Action]] = {}

    async def serve(self) -> None:
        """Pass requests and answers on until either side closes."""
        try:
            from_broker, to_broker = await asyncio.open_connection(*self._address)
        except OSError:
            self._writer.close()
            return
        self._proxy.own(to_broker)
        works = [
            asyncio.ensure_future(work)
            for work in (self._requests(to_broker), self._answers(from_broker), self._write_answers())
        ]
        try:
            await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for work in works:
                work.cancel()
            outcomes = await asyncio.gather(*works, return_exceptions=True)
            to_broker.close()
            self._writer.close()
        usual = (OSError, asyncio.IncompleteReadError, asyncio.CancelledError)
        self._proxy.failures += [
            one for one in outcomes if isinstance(one, BaseException) and not isinstance(one, usual)
        ]

    async def _requests(self, to_broker: asyncio.StreamWriter) -> None:
        while True:
            frame = await read_frame(self._reader)
            key, _, correlation = wire.header(frame)
            request = wire.parse_request(frame) if key == wire.PRODUCE else None
            action = self._proxy.decide(self._broker, request) if request is not None else forward()
            if action.kind == "close_before":
                return
            if request is not None and request.acks == 0:
                # No client waits for an answer, so only what happens to the request itself can be done.
                answer = None
            else:
                answer = asyncio.get_running_loop().create_future()
                self._owed.put_nowait(answer)
            if action.kind == "refuse":
                if answer is not None and request is not None:
                    self._fulfil(answer, wire.answer(request, action.code), action)
                continue
            if action.kind == "hold" and request is not None:
                self._proxy.spawn(self._proxy.haunt(self._address, request, action.seconds))
                continue
            if answer is not None:
                self._expected[correlation] = (answer, request, action)
            if action.kind == "repeat":
                earlier = next(seen.request.frame for seen in self._proxy.seen if action.value in seen.request)
                frame = wire.with_correlation(earlier, correlation)
            to_broker.write(framed(frame))
            await to_broker.drain()

    async def _answers(self, from_broker: asyncio.StreamReader) -> None:
        while True:
            body = await read_frame(from_broker)
            (correlation,) = struct.unpack_from(">i", body)
            answer, request, action = self._expected.pop(correlation)
            if action.kind == "drop":
                continue
            if action.kind == "close_after":
                body = CLOSE
            elif action.kind == "truncate":
                body = Half(body)
            elif action.kind == "falsify" and request is not None:
                body = wire.with_errors(request.version, body, action.code)
            self._fulfil(answer, body, action)

    def _fulfil(self, answer: asyncio.Future[bytes], body: bytes, action: Action) -> None:
        loop = asyncio.get_running_loop()

        def set_result() -> None:
            if action.until is not None and not action.until.is_set():
                loop.call_later(GATE_SECONDS, set_result)
            elif not answer.done():
                answer.set_result(body)

        loop.call_later(action.seconds + self._proxy.round_trip, set_result)

    async def _write_answers(self) -> None:
        while True:
            body = await (await self._owed.get())
            if body == CLOSE:
                return
            data = framed(body)
            self._writer.write(data[: len(data) // 2] if isinstance(body, Half) else data)
            await self._writer.drain()
            if isinstance(body, Half):
                return


def mixed(actions: Iterable[Action], often: float = 60) -> dict[Action, float]:
    """Return weights for `FaultProxy.at_random`: mostly passing on, else one of `actions`, each as likely."""
    chosen = list(actions)
    return {forward(): often, **dict.fromkeys(chosen, (100 - often) / len(chosen))}
