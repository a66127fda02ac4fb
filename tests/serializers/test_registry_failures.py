"""A registry that does not answer, answers wrongly, or is asked by a child process (F30, F31 of docs/hazards.md)."""

from __future__ import annotations

import base64
import json
import os
import socket
import threading
import time
import traceback
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from twolane import Avro, SafeProducer, ThroughputProducer
from twolane.common.arguments import warmed
from twolane.errors import ConfigError, SerializationError
from twolane.serializers.schema_registry import DEEPEST_REFERENCE, MOST_REFERENCES, Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest.importorskip("certifi", reason="confluent-kafka[schemaregistry] is not installed")
from confluent_kafka.schema_registry import Schema, SchemaReference

SCHEMA = {"type": "record", "name": "n.Point", "fields": [{"name": "x", "type": "long"}]}


@contextmanager
def serving(answer: Any) -> Iterator[str]:
    """Serve `answer(handler, body)`; the URL. None: it has answered itself, or will not."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # a body behind its headers would wait 40 ms

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told = answer(self, body.decode())
            if told is None:
                self.close_connection = True
                return
            data = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = handle_any

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass  # the client went away

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def in_child(work: Callable[[], Any]) -> tuple[int, str]:
    """Run in a forked child; its exit code and what it says. A child that hangs is ended after ten seconds."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.write(writer, json.dumps(work()).encode())
            code = 0
        except BaseException:  # noqa: BLE001 - told to the parent
            os.write(writer, traceback.format_exc()[-3000:].encode())
        finally:
            os._exit(code)
    os.close(writer)
    killer = threading.Timer(10, os.kill, (child, 9))
    killer.start()
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    killer.cancel()
    return status, said


forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


# ---- fork --------------------------------------------------------------------------------------------------------


@forking
@pytest.mark.parametrize("given", ["configuration", "client"])
def test_a_child_has_a_connection_of_its_own(given: str) -> None:
    """Each connection's peer is told by its port: the child's must be another one than its parent's."""
    from confluent_kafka.schema_registry import SchemaRegistryClient

    ports: dict[str, int] = {}

    def answer(handler: BaseHTTPRequestHandler, _: str) -> dict[str, Any]:
        ports[handler.path.split("/")[2]] = handler.client_address[1]
        return {"id": 5}

    with serving(answer) as url:
        conf = {"url": url}
        client = SchemaRegistryClient(conf)
        avro = Avro(SCHEMA, registry=conf if given == "configuration" else client)
        for topic in ("one", "two"):
            avro.warm_up(topic)
        assert ports["one-value"] == ports["two-value"]  # else the test shows nothing
        status, said = in_child(lambda: avro.warm_up("three").schema_id)
        assert (status, said) == (0, "5")
        assert ports["three-value"] != ports["one-value"]
        avro.warm_up("four")
        assert ports["four-value"] == ports["one-value"]
        client.close()


@forking
def test_a_fork_while_the_registry_is_asked_does_not_hang_the_child() -> None:
    came, go = threading.Event(), threading.Event()

    def answer(*_: Any) -> dict[str, Any]:
        if not came.is_set():
            came.set()
            go.wait(20)
        return {"id": 5}

    with serving(answer) as url:
        avro = Avro(SCHEMA, registry={"url": url})
        asking = threading.Thread(target=avro.warm_up, args=("clicks",))
        asking.start()
        try:
            assert came.wait(60)
            assert in_child(lambda: avro.warm_up("clicks").schema_id) == (0, "5")
        finally:
            go.set()
            asking.join()


@forking
def test_a_client_that_cannot_be_made_anew_is_refused_in_a_child() -> None:
    class Client:
        def register_schema(self, *_: Any) -> int:
            return 7

    registry = Registry(Client())  # type: ignore[arg-type]

    def refused() -> str:
        with pytest.raises(SerializationError) as caught:
            Avro(SCHEMA, registry=registry).warm_up("clicks")
        return str(caught.value)

    status, said = in_child(refused)
    assert status == 0, said
    assert "belongs to the parent process" in said


# ---- time --------------------------------------------------------------------------------------------------------


@contextmanager
def silent() -> Iterator[str]:
    """Listen, and say nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def dripping() -> Iterator[str]:
    end = threading.Event()

    def answer(handler: BaseHTTPRequestHandler, _: str) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not end.wait(0.05):
            handler.wfile.write(b" ")

    with serving(answer) as url:
        try:
            yield url
        finally:
            end.set()


@contextmanager
def chaining() -> Iterator[str]:
    """Every schema refers to another."""
    count = iter(range(10**9))

    def answer(*_: Any) -> dict[str, Any]:
        reference = {"name": "a", "subject": f"s{next(count)}", "version": 1}
        return {"id": 1, "schema": '"string"', "references": [reference], "version": 1}

    with serving(answer) as url:
        yield url


@pytest.mark.timing
@pytest.mark.parametrize("producer", [SafeProducer, ThroughputProducer])
@pytest.mark.parametrize("call", ["send", "send_batch", "key"])
@pytest.mark.parametrize("fault", [silent, dripping])
def test_a_call_ends_in_time_whatever_the_registry_does(producer: Any, call: str, fault: Any) -> None:
    """No broker is needed: the schema comes first."""
    with fault() as url, producer({"bootstrap.servers": "127.0.0.1:1"}) as lane:
        avro = Avro(SCHEMA, registry={"url": url})
        begun = time.monotonic()
        with pytest.raises(SerializationError, match=r"subject 'clicks-(value|key)'.*no answer within") as caught:
            if call == "send":
                lane.send("clicks", {"x": 1}, serializer=avro, timeout=0.3)
            elif call == "send_batch":
                lane.send_batch("clicks", {"x": [1]}, serializer=avro, timeout=0.3)
            else:
                lane.send_batch("clicks", [b"a"], keys=[{"x": 1}], key_serializer=avro, timeout=0.3)
        assert time.monotonic() - begun < 0.3 + 1.5
        assert caught.value.topic == "clicks"


def test_references_without_an_end_are_refused() -> None:
    with chaining() as url:
        avro = Avro(registry={"url": url})
        with pytest.raises(SerializationError, match=f"more than {MOST_REFERENCES} references, or {DEEPEST_REFERENCE}"):
            avro.warm_up("clicks")


def test_a_topic_without_an_answer_holds_no_other() -> None:
    came, end = threading.Event(), threading.Event()

    def answer(handler: BaseHTTPRequestHandler, _: str) -> dict[str, Any]:
        if "slow-value" in handler.path:
            came.set()
            end.wait(20)
        return {"id": 5}

    with serving(answer) as url:
        avro = Avro(SCHEMA, registry={"url": url})
        told: list[int | None] = []
        asking = threading.Thread(target=lambda: told.append(avro.warm_up("slow").schema_id))
        asking.start()
        try:
            assert came.wait(60)
            assert avro.warm_up("quick").schema_id == 5
            assert not told
        finally:
            end.set()
            asking.join()
        assert told == [5]


def test_an_answer_that_came_too_late_serves_the_next_call() -> None:
    asked: list[str] = []
    end = threading.Event()

    def answer(handler: BaseHTTPRequestHandler, _: str) -> dict[str, Any]:
        asked.append(handler.path)
        end.wait(20)
        return {"id": 5}

    with serving(answer) as url:
        avro = Avro(SCHEMA, registry={"url": url})
        for _ in range(3):
            with pytest.raises(SerializationError, match="no answer"):
                avro.warm_up("clicks", deadline=time.monotonic())
        end.set()
        assert avro.warm_up("clicks").schema_id == 5
        assert len(asked) == 1


def test_a_serializer_without_a_deadline_is_asked_as_ever() -> None:
    class Old:
        def warm_up(self, topic: str, field: str) -> tuple[str, str]:
            return topic, field

    class New:
        def warm_up(self, topic: str, field: str, *, deadline: float) -> float:
            return deadline

    class Derived(Avro):
        def warm_up(self, topic: str, field: str = "value") -> Any:
            return "mine"

    assert warmed(Old(), "t", "key", 5.0) == ("t", "key")  # type: ignore[arg-type]
    assert warmed(New(), "t", "key", 5.0) == 5.0  # type: ignore[arg-type]
    assert warmed(Derived("string"), "t", "key", 5.0) == "mine"


# ---- answers -----------------------------------------------------------------------------------------------------

WRONG_IDS = [7.5, True, -1, 2**31, "5", None]


@pytest.mark.parametrize("number", WRONG_IDS)
@pytest.mark.parametrize("options", [{}, {"auto_register": False}, {"auto_register": False, "use_latest": True}])
def test_an_id_that_is_none_is_refused(number: Any, options: dict[str, Any]) -> None:
    told = {"id": number, "schema": json.dumps(SCHEMA), "version": 1}
    with (
        serving(lambda *_: told) as url,
        pytest.raises(SerializationError, match="schema_id: expected an int from 0 to 2147483647"),
    ):
        Avro(SCHEMA, registry=Registry({"url": url}, **options)).warm_up("clicks")
    if number is not None:
        with pytest.raises(ValueError, match="schema_id: expected an int from 0 to 2147483647"):
            Avro(SCHEMA, schema_id=number)


@pytest.mark.parametrize("options", [{}, {"auto_register": False}, {"auto_register": False, "use_latest": True}])
def test_an_answer_about_another_subject_is_refused(options: dict[str, Any]) -> None:
    told = {"id": 5, "schema": json.dumps(SCHEMA), "version": 1, "subject": "others-value"}
    with serving(lambda *_: told) as url:
        avro = Avro(SCHEMA, registry=Registry({"url": url}, **options))
        with pytest.raises(SerializationError, match="about another subject, 'others-value'"):
            avro.warm_up("clicks")
        told["subject"] = ":.team:clicks-value"  # as registries name it outside the default context
        assert avro.warm_up("clicks").schema_id == 5


def test_an_answer_about_another_schema_is_refused() -> None:
    told = {"id": 5, "schema": '"string"'}
    with serving(lambda *_: told) as url:
        avro = Avro(SCHEMA, registry={"url": url})
        with pytest.raises(SerializationError, match="about another schema"):
            avro.warm_up("clicks")
        told["schema"] = json.dumps({**SCHEMA, "name": "Point", "namespace": "n", "doc": "as Java writes it"})
        assert avro.warm_up("clicks").schema_id == 5


def test_references_answered_about_another_subject_are_refused() -> None:
    def answer(handler: BaseHTTPRequestHandler, _: str) -> dict[str, Any]:
        if "/versions/1" in handler.path:
            return {"id": 6, "subject": "others", "version": 1, "schema": json.dumps(SCHEMA)}
        return {"id": 5}

    with serving(answer) as url:
        schema = Schema('{"type": "array", "items": "n.Point"}', "AVRO", [SchemaReference("n.Point", "points", 1)])
        with pytest.raises(SerializationError, match="about another subject, 'others'"):
            Avro(schema, registry={"url": url}).warm_up("clicks")


@pytest.mark.parametrize("kind", ["JSON", "PROTOBUF"])
@pytest.mark.parametrize("more", [{}, {"schema_id": 1}])
def test_a_schema_of_another_type_is_not_taken_for_avro(kind, more):
    # As JSON Schema too this is a schema.
    told = {"id": 1, "version": 1, "subject": "t-value", "schema": '{"type": "string"}', "schemaType": kind}
    with serving(lambda *_: told) as url:
        serializer = Avro(registry=Registry({"url": url, "max.retries": 0}, auto_register=False), **more)
        with pytest.raises(SerializationError, match=f"expected a schema of type AVRO, got {kind}"):
            serializer.warm_up("t", "value")


@pytest.mark.parametrize("place", ["setting", "url"])
def test_a_server_that_tells_what_it_was_sent_tells_no_password(place):
    def answer(handler: BaseHTTPRequestHandler, _: str) -> None:
        sent = handler.headers["Authorization"]
        data = json.dumps({"error_code": 40101, "message": f"who is {sent}? or {sent[:-4]}"}).encode()
        handler.send_response(401)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    credentials = "some:secret-phrase-12"
    encoded = base64.b64encode(credentials.encode()).decode()
    with serving(answer) as url:
        conf: dict[str, Any] = {"url": url, "basic.auth.user.info": credentials, "max.retries": 0}
        if place == "url":
            conf = {"url": url.replace("//", f"//{credentials}@"), "max.retries": 0}
        with pytest.raises(SerializationError, match="who is Basic") as caught:
            Avro('"int"', registry=Registry(conf)).warm_up("t", "value")
    shown = "".join(traceback.format_exception(caught.value))
    assert not any(encoded[at : at + 8] in shown for at in range(len(encoded) - 8))


@pytest.mark.parametrize("name", [None, ["s"], 5])
def test_subjects_are_named_by_text(name):
    registry = Registry({"url": "http://127.0.0.1:9"}, subject_name=lambda *_: name)
    with pytest.raises(SerializationError, match="expected the name of a subject"):
        Avro('"int"', registry=registry).warm_up("t", "value")


def test_arguments_of_another_kind_are_refused_where_they_are_given():
    url = "http://127.0.0.1:9"
    with pytest.raises(ConfigError, match="subject_name"):
        Registry({"url": url}, subject_name="topic")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="schema registry at"):
        Registry({"url": url, "basic.auth.user.info": ("some", "secret-phrase-12")})
    for references in (5, [5], ["a"], [{"name": "a"}], None):
        with pytest.raises(ValueError, match="references: expected a list of SchemaReference"):
            Avro('"int"', registry={"url": url}, references=references)  # type: ignore[arg-type]
