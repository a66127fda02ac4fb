"""Round-trip time in front of real brokers: toxiproxy, built by Go from its module, in the brokers' place.

Brokers have a listener that sends clients to ports on which another program may listen (`KafkaCluster.proxied`). Every
byte of such a client's connections goes through the proxy, whatever client it is; the brokers among themselves are not
delayed. Linux's own means (``tc netem``) need privileges and a kernel module that many machines lack.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.peers import golang
from twolane.testing.broker import HOST, Ports

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCE = Path(__file__).with_name("toxiproxy")
MODULE = "github.com/Shopify/toxiproxy/v2"
PROGRAM = f"{MODULE}/cmd/server"
START_SECONDS = 10.0
ANSWER_SECONDS = 5.0
TOXIC = "rtt"

missing = golang.missing


class DelayingProxy:
    """Listens in the brokers' place and delays their answers; a context manager.

    Parameters
    ----------
    routes : mapping
        Broker id -> (port to listen on, port of the broker), see `KafkaCluster.proxied`.

    Raises
    ------
    BuildError
        Go is missing or could not build the proxy.
    RuntimeError
        The proxy did not start.

    Notes
    -----
    The whole delay is on the way back. For what is measured here, an answer's time, it is the same as half on each way,
    and it costs one timer instead of two: on loopback the proxy adds some 0.1 ms of its own to each round trip.
    """

    def __init__(self, routes: Mapping[int, tuple[int, int]]) -> None:
        self._routes = dict(routes)
        self._stack = contextlib.ExitStack()
        self._api = 0

    @property
    def what(self) -> str:
        """Name and version, for the report."""
        return f"toxiproxy {golang.required(SOURCE, MODULE)}"

    @property
    def bootstrap_servers(self) -> str:
        """Addresses at which the brokers are delayed."""
        return ",".join(f"{HOST}:{listen}" for listen, _ in self._routes.values())

    def __enter__(self) -> DelayingProxy:
        reason = missing()
        if reason is not None:
            raise golang.BuildError(reason)
        program = golang.build(SOURCE, PROGRAM)
        with contextlib.ExitStack() as stack:
            ports = Ports(1)
            stack.callback(ports.release)
            self._api = ports.numbers[0]
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twolane-toxiproxy-")))
            proxies = [
                {"name": str(broker), "listen": f"{HOST}:{listen}", "upstream": f"{HOST}:{port}", "enabled": True}
                for broker, (listen, port) in self._routes.items()
            ]
            (folder / "proxies.json").write_text(json.dumps(proxies))
            log = stack.enter_context((folder / "log").open("w+"))
            command = [program, "-host", HOST, "-port", str(self._api), "-config", folder / "proxies.json"]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            stack.callback(_end, process)
            self._wait_until_up(process, folder / "log")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def set_rtt(self, ms: int) -> None:
        """Delay every answer by so many milliseconds from now on, on open connections too."""
        if ms < 0:
            raise ValueError(f"a delay is not negative, got {ms}")
        for broker in self._routes:
            self._ask("POST", f"/proxies/{broker}/toxics/{TOXIC}", {"attributes": {"latency": ms}})

    def _wait_until_up(self, process: subprocess.Popen[bytes], log: Path) -> None:
        toxic = {"name": TOXIC, "type": "latency", "stream": "downstream", "attributes": {"latency": 0}}
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if len(self._ask("GET", "/proxies")) == len(self._routes):
                    break
            except OSError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"toxiproxy did not start: {log.read_text()[-2000:]}")
            time.sleep(0.02)
        for broker in self._routes:
            self._ask("POST", f"/proxies/{broker}/toxics", toxic)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection(HOST, self._api, timeout=ANSWER_SECONDS)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"toxiproxy refused {method} {path}: {text[:500]}")
        return json.loads(text)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
