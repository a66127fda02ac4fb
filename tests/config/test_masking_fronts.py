"""The secrets of `test_masking` through every front: asyncio, confluent-kafka's interface, fakes, bridges, sinks, CLI.

What a front shows is what it says, logs, raises, writes to files and hands to others; the secrets are the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaException

from tests.config.test_masking import LANES, OTHER, VALUES, WORD, attributes, cases, leaks, logged, told
from twolane import AsyncSafeProducer, AsyncThroughputProducer, SafeProducer, ThroughputProducer, TwolaneError
from twolane.config.known import SECRET
from twolane.confluent import Producer
from twolane.testing import FakeProducer, FakeThroughputProducer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["logged"]

DEBUG = {"debug": "conf,security"}


def seen(producer: Any) -> list[str]:
    shown = [repr(producer), str(producer), repr(getattr(producer, "config", None)), *attributes(producer)]
    with contextlib.suppress(TypeError):
        shown.append(pickle.dumps(producer).decode("latin-1"))
    return shown


def of_aio(kind: Any, settings: dict[str, Any]) -> list[str]:
    async def work() -> list[str]:
        async with kind({**settings, **DEBUG}, allow_insecure=True) as producer:
            shown = seen(producer)
            with pytest.raises(TwolaneError) as caught:
                await producer.send("t", b"v", timeout=0.05)
            return [*shown, *told(caught.value), repr(producer.stats())]

    return asyncio.run(work())


def of_confluent(settings: dict[str, Any]) -> list[str]:
    answers: list[Any] = []
    producer = Producer({**settings, **DEBUG, "message.timeout.ms": 50})
    shown = seen(producer)
    try:
        producer.produce("t", b"v", on_delivery=lambda error, _: answers.append(error))
        producer.flush(0.1)
    except Exception as error:  # noqa: BLE001 - whatever it is
        shown += told(error)
    finally:
        producer.purge()
        producer.close()
    return [*shown, *map(repr, answers), *map(str, answers)]


def of_fake(kind: Any, settings: dict[str, Any]) -> list[str]:
    with kind(settings, allow_insecure=True) as producer:
        producer.send("t", b"v")
        producer.fail_next()
        with contextlib.suppress(TwolaneError):
            producer.send("t", b"v")
        shown = seen(producer)
        try:
            producer.flush()
        except TwolaneError as error:
            shown += told(error)
        return [*shown, repr(producer.records)]


def of_bridges(kind: Any, settings: dict[str, Any]) -> list[str]:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from prometheus_client import CollectorRegistry, generate_latest

    from twolane.contrib.opentelemetry import instrument
    from twolane.contrib.prometheus import ProducerCollector

    spans, registry = InMemorySpanExporter(), CollectorRegistry()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    with kind({**settings, **DEBUG}, allow_insecure=True) as producer:
        instrument(producer, tracer_provider=provider)
        ProducerCollector(producer, registry=registry)
        with pytest.raises(TwolaneError):
            producer.send("t", b"v", timeout=0.05)
        shown = [generate_latest(registry).decode(), *seen(producer)]
    provider.shutdown()
    finished = spans.get_finished_spans()
    assert finished
    return [*shown, *(span.to_json() for span in finished)]


def of_sinks(settings: dict[str, Any]) -> list[str]:
    """Options show no secret; that they are pickled, with their secrets, for the tasks is what they are for."""
    from twolane.sinks.options import SinkOptions

    options = SinkOptions("t", {**settings, "allow_insecure": True})
    return [repr(options), str(options), repr(options.config), f"{options.config}"]


FRONTS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "aio safe": lambda settings: of_aio(AsyncSafeProducer, settings),
    "aio throughput": lambda settings: of_aio(AsyncThroughputProducer, settings),
    "confluent": of_confluent,
    "fake safe": lambda settings: of_fake(FakeProducer, settings),
    "fake throughput": lambda settings: of_fake(FakeThroughputProducer, settings),
    "bridges, safe": lambda settings: of_bridges(SafeProducer, settings),
    "bridges, throughput": lambda settings: of_bridges(ThroughputProducer, settings),
    "sinks": of_sinks,
}


def of_each_setting() -> Iterator[Any]:
    """Every setting with some of its values, and every way to write an address."""
    for i, case in enumerate(cases()):
        name = str(case.id)
        if name.startswith(("bootstrap.servers", "token")) or i % 5 == 0 or name.endswith("-0"):
            yield case


@pytest.mark.parametrize("front", FRONTS)
def test_secrets_show_on_no_front(front: str, logged: list[str]) -> None:
    problems = []
    covered = set()
    for case in of_each_setting():
        (settings,) = case.values
        covered |= set(settings)
        logged.clear()
        try:
            shown = FRONTS[front](settings)
        except (TwolaneError, KafkaException) as error:
            shown = told(error)
        found = leaks("\n".join([*shown, *logged]))
        if found:
            line = next(text for text in [*shown, *logged] if leaks(text))
            problems.append(f"{case.id}: {sorted(found)[0]} in {line[:300]!r}")
    assert not problems, "\n".join(problems)
    assert covered >= SECRET


def locals_of(error: BaseException) -> list[str]:
    """Return what a traceback with locals shows of the library's own frames."""
    shown = []
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__")).startswith("twolane"):
            shown += [f"{name}={value!r}" for name, value in frame.f_locals.items()]
    return shown


@pytest.mark.parametrize("lane", LANES, ids=["safe", "throughput"])
def test_locals_of_a_call_that_fails_show_no_secret(lane: Any) -> None:
    settings = {
        "bootstrap.servers": f"user:{WORD}@127.0.0.1:1",
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": OTHER,
        "sasl.password": WORD,
    }
    with lane(settings, allow_insecure=True) as producer:
        for call in (lambda: producer.send("t", b"v", timeout=0.05), lambda: producer.send_batch("t", [7])):
            with pytest.raises(TwolaneError) as caught:
                call()
            shown = locals_of(caught.value)
            assert shown
            assert not leaks("\n".join(shown))


@pytest.mark.parametrize("refused", [{"linger.ms": "x"}, {"lingr.ms": 1}, {"sasl.mechanisms": "NOPE"}], ids=list)
@pytest.mark.parametrize("kind", [SafeProducer, ThroughputProducer, AsyncSafeProducer, AsyncThroughputProducer])
def test_a_traceback_can_show_a_producer_whose_settings_were_refused(kind: Any, refused: dict[str, Any]) -> None:
    with pytest.raises(TwolaneError) as caught:
        kind({"bootstrap.servers": "127.0.0.1:1", "security.protocol": "SASL_SSL", **refused})
    assert f"self=<{kind.__name__}, refused>" in locals_of(caught.value)


JAAS = 'sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="{}" password="{}";'
FILES = {
    "librdkafka's": "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username={}\nsasl.password={}\n",
    "Java's": f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\n{JAAS}\n",
    "Java's, without its end": f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\n{JAAS[:-1]}\n",
    "Java's, of Kerberos": "sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required x={} y={};\n",
    "twice": "security.protocol=SASL_PLAINTEXT\nsasl.password={}\nsasl.password={}\n",
    "misspelt": "sasl.passwort={}\nsasl.user={}\n",
    "no equals sign": "sasl.password {} {}\n",
    "token": "sasl.mechanism=OAUTHBEARER\nsecurity.protocol=SASL_SSL\nsasl.oauthbearer.config=principal={} x={}\n",
    "key": "security.protocol=SSL\nssl.key.pem=-----BEGIN {}\nssl.key.password={}\n",
    "address": "bootstrap.servers=user:{}@127.0.0.1:1,{}@127.0.0.1:2\n",
}
# With these a command gets as far as to look for brokers, which `check` does for ten seconds.
CONNECTING = ("librdkafka's", "Java's", "address")
COMMANDS = {
    "load": ["rows.jsonl", "-t", "t", "--state", "state.json"],
    "send": ["rows.jsonl", "-l", "-t", "t"],
    "check": ["-t", "t"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_secrets_of_a_file_show_in_no_output_and_no_other_file(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from twolane.cli.app import app

    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"id": 1}\n')
    problems = []
    for name, text in FILES.items():
        if command == "check" and name in CONNECTING:
            continue
        written = text.format(WORD, OTHER) + "message.timeout.ms=300\nsocket.connection.setup.timeout.ms=1000\n"
        (tmp_path / "f.properties").write_text(written)
        places = [] if name == "address" else ["-b", "127.0.0.1:1"]
        arguments = [command, *COMMANDS[command], *places, "-F", "f.properties", "--allow-insecure", "-vv"]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code
        shown = [done.output, repr(done.exception)]
        shown += [path.read_text() for path in tmp_path.iterdir() if path.suffix not in (".properties", ".jsonl")]
        if leaks("\n".join(shown)):
            problems.append(f"{name}: {next(text for text in shown if leaks(text))[:600]}")
    assert not problems, "\n".join(problems)


def test_every_value_is_one_that_is_looked_for() -> None:
    """A test of leaks that looks for nothing would pass."""
    assert all(leaks(value) for value in VALUES)
    assert sys.getdefaultencoding() == "utf-8"
