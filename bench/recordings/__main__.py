"""``python -m bench.recordings``: record the command on three real brokers, write docs/recordings/*.svg."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.demo import flights
from bench.recordings.terminal import screens, svg
from twolane.testing import KafkaCluster

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OUTPUT = Path("docs/recordings")
SEND = [
    r"printf 'ann:login\nbob:login\nann:logout\n' | twolane send -t audit -K :",
    "echo hello | twolane send -b localhost:1 -t audit -X message.timeout.ms=500; echo exit code $?",
]
LOAD = "twolane load flights.parquet -t flights --key carrier --timestamp time_hour --format avro --rate 100000"
PERF = "twolane perf --topic perf --num-records 1000000 --record-size 100 --throughput -1 --reporting-interval 1000"
CHECK = "twolane check -t flights -t audit"


def record(commands: Sequence[str], folder: Path, environment: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Run commands; return each with its last screen."""
    return [(command, _trimmed(screens(command, folder, environment)[-1])) for command in commands]


def record_bar(command: str, folder: Path, environment: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Run a command with a progress bar; return its screen half way, and its last one."""
    found = screens(command, folder, environment)
    return [(command, _trimmed(found[len(found) // 2])), ("", _trimmed(found[-1]))]


def _trimmed(lines: list[str]) -> list[str]:
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    return lines


@click.command()
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=OUTPUT, show_default=True)
def main(output: Path) -> None:
    """Start three brokers, run the commands on them, and write a picture of each."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, KafkaCluster() as cluster:
        folder = Path(name)
        flights.load().to_parquet(folder / "flights.parquet")
        for topic, config in {"flights": {"retention.ms": -1}, "audit": {"min.insync.replicas": 1}, "perf": {}}.items():
            cluster.create_topic(topic, 4, config=config)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {"KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap_servers, "PATH": path}
        clean = 0
        while clean < 6:  # the first producer ids of new brokers take a moment, which librdkafka warns of
            ((_, said),) = record(["echo | twolane send -t perf -D x"], folder, environment)
            clean = 0 if "GETPID" in "".join(said) else clean + 1
        pictures = {
            "send": record(SEND, folder, environment),
            "load": record_bar(LOAD, folder, environment),
            "perf": record([PERF], folder, environment),
            "check": record([CHECK], folder, environment),
        }
    for title, parts in pictures.items():
        (output / f"{title}.svg").write_text(svg(f"twolane {title}", parts))
        click.echo(output / f"{title}.svg")


if __name__ == "__main__":
    main()
