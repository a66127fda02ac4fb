"""``twolane cluster``: brokers to try things on, until Ctrl-C."""

from __future__ import annotations

import contextlib
import threading

import click

from twolane.cli.options import json_option
from twolane.cli.output import print_json, say
from twolane.testing import EmbeddedCluster, KafkaCluster


def _topics(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for text in values:
        name, mark, count = text.partition(":")
        if not name or (mark and not (count.isdecimal() and int(count))):
            raise click.BadParameter(f"expected NAME or NAME:PARTITIONS, got {text!r}", context, parameter)
        found[name] = int(count or 1)
    return found


@click.command("cluster")
@click.option("--real", is_flag=True, help="Apache Kafka itself, where Java and Maven are; else librdkafka's mock.")
@click.option("--brokers", type=click.IntRange(1, 9), default=3, show_default=True)
@click.option("-t", "--topic", "topics", multiple=True, callback=_topics, metavar="NAME[:PARTITIONS]")
@click.option("--rtt", type=click.IntRange(0), default=0, metavar="MS", help="Delay each answer; not with --real.")
@json_option
def command(real: bool, brokers: int, topics: dict[str, int], rtt: int, as_json: bool) -> None:
    r"""Start brokers on this machine, print their addresses, and keep them until Ctrl-C. Nothing of them stays.

    \b
    twolane cluster -t audit:4 &
    twolane cluster --real
    """
    if real and rtt:
        raise click.UsageError("--rtt delays librdkafka's mock brokers only")
    with contextlib.suppress(KeyboardInterrupt), KafkaCluster(brokers) if real else EmbeddedCluster(brokers) as cluster:
        for name, partitions in topics.items():
            if isinstance(cluster, KafkaCluster):
                cluster.create_topic(name, partitions, replication=min(3, brokers))
            else:
                cluster.create_topic(name, partitions)
        if isinstance(cluster, EmbeddedCluster) and rtt:
            cluster.set_rtt(rtt)
        if as_json:
            print_json({"bootstrap_servers": cluster.bootstrap_servers, "real": real})
        else:
            click.echo(cluster.bootstrap_servers)
        say(f"{brokers} brokers run; Ctrl-C ends them")
        threading.Event().wait()
