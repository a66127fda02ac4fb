"""``twolane check``: connect, log in, look for settings that break promises; each finding with its cure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from twolane.cli.brokers import Admin, connect_time
from twolane.cli.exits import Exit
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

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from twolane.config.policy import Settings

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
    client = Admin(settings)
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


def _connected(broker: Any) -> Broker:
    """Connect to a broker at the address that clients are told to use."""
    try:
        took: float | None = connect_time(broker.host, broker.port) * 1e3
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
