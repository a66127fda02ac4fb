"""``twolane advise``: measures on your cluster, names the lane, the size of a call, and how long to linger."""

from __future__ import annotations

import contextlib
import os
import platform
import uuid
from typing import TYPE_CHECKING, Any

import click

from twolane.cli.advising.advice import Wish, advise
from twolane.cli.advising.survey import Surveyor
from twolane.cli.brokers import Admin, connect_time
from twolane.cli.exits import Exit
from twolane.cli.loading.tail import LogTail
from twolane.cli.options import Connection, connection_options, json_option
from twolane.cli.output import print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from twolane.cli.advising.advice import Advice, Survey

# The one thing beside settings of which bench.tuning found that it holds (docs/tuning.md).
KEEP_FREED = (
    "With TLS a record costs less CPU where glibc keeps freed memory, for more of it: "
    "MALLOC_TRIM_THRESHOLD_=1073741824 MALLOC_TOP_PAD_=67108864 in the program's environment (docs/tuning.md)."
)


@click.command("advise")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Records per second that are wanted.")
@click.option("--p99", type=click.FloatRange(0, min_open=True), metavar="MS", help="Until a record is acknowledged.")
@click.option("--size", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Bytes of a value.")
@click.option("--partitions", type=click.IntRange(1), default=1, show_default=True, help="That the records go to.")
@click.option("-t", "--topic", help="Measure on this one; by default one is made, and deleted.")
@click.option("--seconds", type=click.FloatRange(0), default=0.4, show_default=True, help="For each of 14 runs.")
@connection_options
@json_option
def command(
    connection: Connection,
    rate: float | None,
    p99: float | None,
    size: int,
    partitions: int,
    topic: str | None,
    seconds: float,
    as_json: bool,
) -> Exit:
    """Measure round trips and prices on your cluster; say which lane and batch meet a rate and a p99, and why."""
    settings = connection.checked("throughput")
    admin = Admin(settings)
    brokers = admin.metadata().brokers.values()
    rtt = max(connect_time(str(broker.host), int(broker.port), 5) for broker in brokers)

    def make(lane: Any, more: Mapping[str, Any]) -> Any:
        options = {"check_topics": False} if lane == "safe" else {}
        return connection.producer(lane, more, **options)

    with _topic(admin, topic, min(3, len(brokers))) as name, contextlib.closing(LogTail(settings.native)) as log:
        surveyor = Surveyor(
            make,
            name,
            lambda: log.ends(name, [0])["0"],
            seconds,
            lambda step: None if as_json or connection.quiet else say(f"measuring {step}"),
        )
        survey = surveyor.survey(rtt, size)
    advice = advise(survey, Wish(rate, p99 / 1000 if p99 else None, partitions))
    hints = hints_on(settings.native)
    if as_json:
        print_json({**_as_json(survey, advice), "hints": hints})
    else:
        click.echo("\n".join([advice.text(), *hints]))
    return Exit.OK if advice.is_met else Exit.FOUND


def hints_on(native: Mapping[str, object]) -> list[str]:
    """Return what else is worth trying with these settings, here."""
    is_tls = "ssl" in str(native.get("security.protocol", "")).lower()
    is_glibc = platform.libc_ver()[0] == "glibc"
    return [KEEP_FREED] if is_tls and is_glibc and "MALLOC_TRIM_THRESHOLD_" not in os.environ else []


@contextlib.contextmanager
def _topic(admin: Admin, given: str | None, replicas: int) -> Iterator[str]:
    """Lend a topic: the user's, or one that is deleted afterwards."""
    if given is not None:
        yield given
        return
    name = f"twolane-advise-{uuid.uuid4().hex[:8]}"
    admin.create_topic(name, replicas)
    try:
        yield name
    finally:
        admin.delete_topic(name)


def _as_json(survey: Survey, advice: Advice) -> dict[str, Any]:
    costs = survey.costs
    return {
        "rtt_ms": survey.rtt * 1e3,
        "request_ms": costs.request * 1e3,
        "record_us": costs.record * 1e6,
        "options": [
            {
                "how": option.how,
                "rate": option.rate,
                "p99_ms": option.p99 * 1e3,
                "why": option.why,
                "misses": option.misses(advice.wish),
            }
            for option in advice.options
        ],
        "chosen": advice.chosen.how if advice.chosen else None,
    }
