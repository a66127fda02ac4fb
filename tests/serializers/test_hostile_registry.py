"""Answers of a registry that means harm: bounded in time and memory, refused in words, followed nowhere."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.waiting import wait_until
from twolane import Avro
from twolane.errors import SerializationError
from twolane.serializers import registry_answers
from twolane.serializers.registry_answers import MOST_BYTES, MOST_TEXT
from twolane.serializers.schema_registry import THREAD_NAME, Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest.importorskip("certifi", reason="confluent-kafka[schemaregistry] is not installed")

SECRET = "some:secret-phrase-12"
# What the kernel may hold of a connection beside what the client has read.
BUFFERS = 32 << 20


class Server:
    """Answers each connection's request with bytes of its own, and counts what it could send.

    Attributes
    ----------
    url : str
    requests : list of bytes
        Heads of what was asked.
    sent : int
        Bytes of answers that were taken from it.
    """

    def __init__(self, parts: Callable[[], Iterator[bytes]]) -> None:
        self._parts = parts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[bytes] = []
        self.sent = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):  # it would not read on
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(60)
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += connection.recv(65_536) or b"\r\n\r\n"
        head, _, body = asked.partition(b"\r\n\r\n")
        self.requests.append(head)
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"), 0)
        while len(body) < length:
            body += connection.recv(65_536)
        for part in self._parts():
            connection.sendall(part)
            self.sent += len(part)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(60)


@contextlib.contextmanager
def serving(parts: Callable[[], Iterator[bytes]]) -> Iterator[Server]:
    server = Server(parts)
    try:
        yield server
    finally:
        server.close()


def answered(body: bytes, status: str = "200 OK", *headers: str) -> Callable[[], Iterator[bytes]]:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return lambda: iter(["\r\n".join(lines).encode() + body])


def told(**fields: Any) -> Callable[[], Iterator[bytes]]:
    whole = {"id": 5, "version": 1, "subject": "t-value", "schema": '"int"', **fields}
    return answered(json.dumps(whole).encode())


def endless(head: bytes, part: bytes) -> Callable[[], Iterator[bytes]]:
    def parts() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n" + head
        while True:
            yield part

    return parts


def nested(levels: int) -> str:
    return '{"type": "array", "items": ' * levels + '"int"' + "}" * levels


REFERENCE = {"name": "n", "subject": "s", "version": 1}
CASES: dict[str, tuple[Callable[[], Iterator[bytes]], str]] = {
    "endless body": (endless(b"Connection: close\r\n\r\n", b" " * 65_536), "the answer is larger than 8 MiB"),
    "endless headers": (endless(b"", b"X: y\r\n" * 1_000), "too long"),
    "large body": (answered(b" " * (MOST_BYTES + 1)), "the answer is larger than 8 MiB"),
    "length that does not come": (
        lambda: iter([b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n{"]),
        "incomplete|peer closed",
    ),
    "gzip bomb": (
        answered(gzip.compress(b" " * (64 << 20), 1), "200 OK", "Content-Encoding: gzip"),
        r"the answer is compressed \('gzip'\), which was not asked for",
    ),
    "nested answer": (answered(b"[" * 200_000 + b"]" * 200_000), "no JSON: nested deeper than 500 levels"),
    "nested schema": (told(schema=nested(5_000)), "nested deeper than 500 levels"),
    "nested references": (told(references=[[[[]]]]), r"references\[0\]: expected an object, got"),
    "no UTF-8": (answered(b'{"id": "\xff\xfe"}'), "the answer is no JSON: 'utf-8' codec can't decode"),
    "no JSON": (answered(b"<html>"), "the answer is no JSON: .*; it begins b'<html>'"),
    "nothing": (answered(b""), "the answer is no JSON"),
    "digits": (answered(b'{"id": ' + b"9" * 6_000 + b"}"), "the answer is no JSON: Exceeds the limit"),
    "list": (answered(b"[1]"), r"expected an object, got \[1\]"),
    "null": (answered(b"null"), "expected an object, got None"),
    "id of true": (told(id=True), "expected an int from 0 to 2147483647, got True"),
    "schema of an object": (told(schema={"type": "int"}), "schema: expected a text, got {'type': 'int'}"),
    "type of a number": (told(schemaType=5), "schemaType: expected a text, got 5"),
    "references of a number": (told(references=5), "references: expected a list, got 5"),
    "reference to a list": (
        told(references=[{**REFERENCE, "subject": []}]),
        r"references\[0\].subject: expected a text, got \[\]",
    ),
    "version of an object": (
        told(references=[{**REFERENCE, "version": {}}]),
        r"references\[0\].version: expected an int, got {}",
    ),
    "rules of a list": (told(ruleSet=[5]), r"ruleSet: expected an object, got \[5\]"),
    "long message": (
        answered(json.dumps({"error_code": 42201, "message": "x" * 3_000_000}).encode(), "422 Unprocessable"),
        "failed: xxxx",
    ),
    "long bytes": (answered(b"\xff" * 3_000_000, "409 Conflict"), "Unknown Schema Registry Error"),
    "no status": (lambda: iter([b"HTTP/9.9 abc\r\n\r\n"]), "illegal status line"),
    "end of the connection": (lambda: iter([]), "disconnected without sending"),
}


def asked(url: str, *, latest: bool = False) -> str:
    """Return what a user reads of an answer that is refused."""
    settings = {"url": url, "max.retries": 0, "basic.auth.user.info": SECRET}
    serializer = Avro(registry=Registry(settings, auto_register=False)) if latest else Avro('"int"', registry=settings)
    with pytest.raises(SerializationError) as caught:
        serializer.warm_up("t")
    return str(caught.value)


@pytest.mark.parametrize("latest", [False, True], ids=["registration", "latest"])
@pytest.mark.parametrize("case", CASES)
def test_a_hostile_answer_is_refused_in_words(case: str, latest: bool) -> None:
    parts, said = CASES[case]
    with serving(parts) as server:
        text = asked(server.url, latest=latest)
        assert len(server.requests) >= 1
        assert server.sent < MOST_BYTES + BUFFERS
    assert re.search(said, text, re.DOTALL), text
    assert len(text) < MOST_TEXT + 500
    assert "secret-phrase" not in text


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize("latest", [False, True], ids=["registration", "latest"])
def test_a_redirect_is_not_followed(status: str, latest: bool) -> None:
    with serving(answered(b'{"id": 7}')) as other:
        for to in (
            f"{other.url}/subjects",
            "https://127.0.0.1:1/",
            "file:///etc/passwd",
            f"//{SECRET}@127.0.0.1:1/?a=b",
        ):
            with serving(answered(b"", status, f"Location: {to}")) as server:
                text = asked(server.url, latest=latest)
                assert len(server.requests) == 1
            assert f"HTTP status code {status[:3]}), which is not followed" in text
            assert "secret-phrase" not in text
        assert not other.requests


def test_an_answer_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_answers, "MOST_SECONDS", 0.2)
    end = threading.Event()

    def parts() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
        while not end.wait(0.01):
            yield b" "

    with serving(parts) as server:
        try:
            assert "the answer was not over after 0.2 s" in asked(server.url)
        finally:
            end.set()


def test_a_registry_that_says_nothing_holds_no_thread_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_answers, "MOST_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = asked(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert "timed out" in text
        wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == THREAD_NAME])
