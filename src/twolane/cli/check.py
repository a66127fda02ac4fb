"""``twolane check``: connect, log in, look for settings that break promises; each finding with its cure."""

from __future__ import annotations

import socket
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click
from confluent_kafka import KafkaError, KafkaException
from rich.markup import escape

from twolane.cli.exits import Exit, Stop
from twolane.cli.options import Connection, Lane, connection_options, json_option, lane_option
from twolane.cli.output import console, print_json
from twolane.common.topic_rules import (
    Finding,
    of_availability,
    of_content,
    of_durability,
    of_producer,
    of_replicas,
)
from twolane.config.masking import Hider

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from twolane.config.policy import Settings

# Seconds for each question, and for each broker's connection.
TIMEOUT, CONNECT = 10.0, 3.0
# What waiting longer does not mend.
_FINAL = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED})
STYLES = {"problem": "bold red", "note": "yellow"}


@dataclass(frozen=True)
class Broker:
    """A broker at the address that it told, and how long a connection took; None where there is none."""

    id: int
    address: str
    connect_ms: float | None


@dataclass(frozen=True)
class TopicState:
    """A topic as metadata describes it."""

    name: str
    partitions: int
    replicas: int
    findings: list[Finding]


@click.command("check")
@click.option("-t", "--topic", "topics", multiple=True, help="Which topics; all by default.")
@lane_option("safe")
@connection_options
@json_option
def command(connection: Connection, lane: Lane, topics: tuple[str, ...], as_json: bool) -> Exit:
    """Connect, log in, and name what breaks promises: brokers out of reach, settings of topics, each with its cure."""
    settings = connection.checked(lane)
    hide = Hider(settings.native)
    client = _Client(settings, hide)
    metadata = client.metadata()
    brokers = [_connected(broker) for _, broker in sorted(metadata.brokers.items())]
    general = [*_of_brokers(brokers), *of_producer(settings.native)]
    names = list(topics) or sorted(name for name in metadata.topics if not name.startswith("__"))
    states = [_state(name, metadata.topics.get(name)) for name in names]
    there = [state for state in states if state.partitions]
    # Only a controller answers; librdkafka's mock cluster has none.
    if there and metadata.controller_id in metadata.brokers:
        for state, found in zip(there, client.topic_settings([one.name for one in there]), strict=True):
            state.findings.extend(_of_settings(state, found, settings.native))
    elif there:
        general.append(Finding("note", "this cluster tells no settings of topics", "look at them by other means"))
    everything = general + [finding for state in states for finding in state.findings]
    if as_json:
        parts: dict[str, Sequence[Any]] = {"brokers": brokers, "findings": general, "topics": states}
        print_json({name: [asdict(one) for one in part] for name, part in parts.items()})
    else:
        _show(brokers, general, states, settings)
    return Exit.FOUND if any(finding.level == "problem" for finding in everything) else Exit.OK


class _Client:
    """confluent-kafka's admin client, with the reasons why it has no answer."""

    def __init__(self, settings: Settings, hide: Hider) -> None:
        from confluent_kafka.admin import AdminClient

        self._hide, self._servers = hide, settings.shown["bootstrap.servers"]
        self._errors: list[KafkaError] = []
        given: dict[str, Any] = {**settings.connection(), "log_level": 0, "error_cb": self._errors.append}
        self._admin = AdminClient(given)

    def metadata(self) -> Any:
        """Return brokers and topics.

        Raises
        ------
        Stop
            No broker answered, or the login was refused; says what librdkafka said last.
        """
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                return self._admin.list_topics(timeout=1.0)
            except KafkaException as error:
                self._admin.poll(0)
                final = [one for one in self._errors if one.code() in _FINAL]
                if final or time.monotonic() > deadline:
                    reasons = [one for one in self._errors if one.code() != KafkaError._ALL_BROKERS_DOWN]
                    why = (final or reasons or [error.args[0]])[-1]
                    what = "the login was refused" if final else "no broker answered"
                    text = self._hide(f"{what}, bootstrap.servers={self._servers}: {why.str()}")
                    raise Stop(Exit.UNAVAILABLE, text) from None

    def topic_settings(self, topics: Sequence[str]) -> Iterator[Mapping[str, str] | str]:
        """Yield the settings of each topic, or why they are not told."""
        from confluent_kafka.admin import ConfigResource, ResourceType  # type: ignore[attr-defined]

        resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
        futures = self._admin.describe_configs(resources, request_timeout=TIMEOUT)
        for resource in resources:
            try:
                found = futures[resource].result(TIMEOUT + 1)
                yield {name: entry.value or "" for name, entry in found.items()}
            except (KafkaException, TimeoutError) as error:
                why = error.args[0].str() if isinstance(error, KafkaException) else "no answer"
                yield self._hide(why)


def _connected(broker: Any) -> Broker:
    """Connect to a broker at the address that clients are told to use."""
    started = time.perf_counter()
    try:
        with socket.create_connection((broker.host, broker.port), CONNECT):
            took: float | None = (time.perf_counter() - started) * 1e3
    except OSError:
        took = None
    return Broker(broker.id, f"{broker.host}:{broker.port}", None if took is None else round(took, 2))


def _of_brokers(brokers: Sequence[Broker]) -> Iterator[Finding]:
    for broker in brokers:
        if broker.connect_ms is None:
            yield Finding(
                "problem",
                f"broker {broker.id} cannot be connected to at {broker.address}, which is what it tells its clients",
                "start it, open the way to it, or mend its advertised.listeners",
            )
    if len(brokers) < 3:
        yield Finding(
            "note", f"{len(brokers)} brokers: with fewer than 3, acks=all protects little", "three brokers or more"
        )


def _state(name: str, metadata: Any) -> TopicState:
    """Look at one topic's partitions."""
    partitions = [] if metadata is None or metadata.error else list(metadata.partitions.values())
    if not partitions:
        why = "does not exist" if metadata is None else metadata.error.str()
        create = f"kafka-topics.sh --bootstrap-server ... --create --topic {name} --partitions 6 --replication-factor 3"
        return TopicState(name, 0, 0, [Finding("problem", f"topic {name!r}: {why}", create)])
    replicas = min(len(one.replicas) for one in partitions)
    findings = list(of_replicas(name, replicas))
    headless = [one.id for one in partitions if one.leader < 0]
    behind = [one.id for one in partitions if len(one.isrs) < len(one.replicas)]
    for which, what in ((headless, "without a leader: nothing can be written"), (behind, "with replicas behind")):
        if which:
            shown = ", ".join(map(str, which[:10])) + ", ..." * (len(which) > 10)
            findings.append(
                Finding("problem", f"topic {name!r} has partitions {what}: {shown}", "look for brokers that are down")
            )
    return TopicState(name, len(partitions), replicas, findings)


def _of_settings(state: TopicState, found: Mapping[str, str] | str, producer: Mapping[str, str]) -> Iterator[Finding]:
    if isinstance(found, str):
        yield Finding("note", f"topic {state.name!r}: its settings are not told: {found}", "allow DescribeConfigs")
        return
    yield from of_durability(state.name, found)
    yield from of_availability(state.name, found, state.replicas)
    yield from of_content(state.name, found, producer)


def _show(
    brokers: Sequence[Broker], general: Sequence[Finding], states: Sequence[TopicState], settings: Settings
) -> None:
    screen = console()
    protocol = settings.shown.get("security.protocol", "plaintext").lower()
    login = f", logged in by {settings.shown['sasl.mechanisms']}" if protocol.startswith("sasl") else ""
    screen.print(f"[bold]{len(brokers)} brokers[/] over {escape(protocol + login)}")
    for broker in brokers:
        how = "no connection" if broker.connect_ms is None else f"connects in {broker.connect_ms:.1f} ms"
        screen.print(f"  {broker.id:>4}  {escape(broker.address)}  {how}")
    _show_findings(general)
    for state in states:
        good = "" if state.findings else "  [green]ok[/]"
        screen.print(f"[bold]{escape(state.name)}[/]  {state.partitions} partitions, {state.replicas} replicas{good}")
        _show_findings(state.findings)


def _show_findings(findings: Sequence[Finding]) -> None:
    screen = console()
    for finding in findings:
        screen.print(f"  [{STYLES[finding.level]}]{finding.level}[/]: {escape(finding.text)}")
        screen.print(f"    {escape(finding.cure)}", style="dim")
