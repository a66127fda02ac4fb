"""``python -m bench``: measure, report, compare."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from confluent_kafka import KafkaException
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench import peers, suite
from bench.clusters import EMBEDDED, OWN, RUNNING, UnreachableError, open_cluster
from bench.headline import first, headline
from bench.lanes import CONTENDERS
from bench.matrix import choose, matrix, preset, void
from bench.report import page
from bench.results import Results, load
from twolane.testing import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.contender import Contender
    from bench.matrix import Case

OUTPUT = Path("build/bench/results")
# One file for each kind: figures of real brokers are never mixed with those of the mock.
FILES = {EMBEDDED: "embedded.json", OWN: "brokers.json", RUNNING: "brokers.json"}
EFFORTS = {"fast": suite.FAST, "default": suite.DEFAULT, "rigorous": suite.RIGOROUS, "smoke": suite.SMOKE}
INTERRUPTED = 130
console = Console(soft_wrap=True, highlight=False)


def everybody() -> dict[str, Contender]:
    """Return all contenders by name: the lanes and the peers."""
    return {contender.name: contender for contender in (*CONTENDERS, *peers.CONTENDERS)}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    r"""Measure what acks, in-flight limits, idempotence, round trips and batches cost; twolane's lanes and others.

    \b
    python -m bench run                              the embedded cluster, five minutes
    python -m bench run --cluster own                three real brokers, started for it
    python -m bench run --bootstrap-servers B:9092   your own cluster
    python -m bench run --list SafeProducer rtt=5    what would be measured
    """


def on_a_cluster(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a cluster."""
    servers = click.option("--bootstrap-servers", metavar="B", help="a running cluster; a topic is made and deleted")
    config = click.option(
        "--config-file",
        type=click.Path(exists=True, dir_okay=False),
        callback=lambda context, parameter, value: value or "",
        help="further client settings (TLS, SASL), key=value lines by librdkafka's names",
    )
    return servers(config(command))


@main.command()
@click.argument("patterns", nargs=-1)
@click.option("--preset", "chosen", type=click.Choice(["quick", "peers", "price", "all"]), default="price")
@click.option("--cluster", type=click.Choice(["embedded", "own"]), default="embedded", help="what to start")
@on_a_cluster
@click.option("--fast", "effort", flag_value="fast", help="3 values of 0.15 s each")
@click.option("--rigorous", "effort", flag_value="rigorous", help="9 values of 1.5 s each")
@click.option("--smoke", "effort", flag_value="smoke", help="1 value, too short to mean anything")
@click.option("--rounds", type=click.IntRange(1), help="values of each case")
@click.option("--others", type=click.IntRange(1), help="values of each case that is not of the headline or a peer's")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="begin no further case after so long")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=OUTPUT, show_default=True)
@click.option("--list", "only_list", is_flag=True, help="show the cases and what is void, measure nothing")
def run(
    patterns: tuple[str, ...],
    chosen: str,
    cluster: str,
    bootstrap_servers: str | None,
    config_file: str,
    effort: str | None,
    rounds: int | None,
    others: int | None,
    minutes: float | None,
    output: Path,
    only_list: bool,
) -> None:
    """Measure the cases whose names match all PATTERNS (parts of a name, or wildcards); see --list.

    The figures go to the folder --output, as pyperf's JSON, with a report. Ctrl-C keeps what there is.
    """
    kind = RUNNING if bootstrap_servers else {"embedded": EMBEDDED, "own": OWN}[cluster]
    contenders = everybody()
    if only_list:
        _list(choose(preset(chosen, contenders.values(), kind, has_delay=kind != RUNNING), patterns), kind)
        return
    wanted = EFFORTS[effort or "default"]
    wanted = replace(wanted, rounds=rounds or wanted.rounds, others=others, minutes=minutes)
    with _errors_in_a_line(), open_cluster(kind, bootstrap_servers, config_file) as kafka:
        important = headline(contenders.values(), kind)
        cases = first(choose(preset(chosen, contenders.values(), kind, has_delay=kafka.has_delay), patterns), important)
        if not cases:
            raise click.UsageError(f"no case matches {' '.join(patterns)}; see --list")
        results = Results(output / FILES[kind], kafka.facts())
        for reason, number in _void(kind, has_delay=kafka.has_delay).items():
            results.note("void", reason, f"{number} combinations")
        interrupted = False
        session = suite.Session(kafka, contenders, results, wanted, properties=config_file, headline=important)
        with _progress(sum(len(session.of_round(turn, cases)) for turn in range(wanted.rounds))) as session.on_step:
            try:
                session.run(cases)
            except KeyboardInterrupt:
                interrupted = True
    _show(results)
    if interrupted:
        console.print(f"Interrupted; what was measured is in {results.path}")
        sys.exit(INTERRUPTED)
    if results.failed:
        sys.exit(1)


def _show(results: Results) -> None:
    """Make the report, print its tables, and last what has no figure and should have one."""
    if results.path.exists():
        made = page.report(results.path.parent)
        console.print(Markdown(made.read_text()) if console.is_terminal else made.read_text(), markup=False)
        console.print(f"{len(load(results.path))} cases: {results.path}, {made}")
    for name, why in results.failed.items():
        print(f"NO FIGURE: {name}: {why}", file=sys.stderr)


def _list(cases: list[Case], kind: str) -> None:
    for case in cases:
        console.print(case.name, markup=False)
    console.print(f"\n{len(cases)} cases on {kind}. Void, of the whole matrix:")
    for reason, number in _void(kind, has_delay=kind != RUNNING).items():
        console.print(f"{number:5}  {reason}")


def _void(kind: str, *, has_delay: bool) -> dict[str, int]:
    """Return how many combinations of the matrix each reason excludes."""
    counts: dict[str, int] = {}
    for case in matrix():
        reason = void(case, kind, has_delay=has_delay)
        if reason:
            counts[reason] = counts.get(reason, 0) + 1
    return counts


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on a terminal, a line every so often elsewhere; drawn between the runs, never during one."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(
        TextColumn("{task.description}"), *columns, console=console, disable=not console.is_terminal, auto_refresh=False
    ) as bar:
        task = bar.add_task("", total=total)
        done = 0

        def step(name: str, number: int, turn: int) -> None:
            nonlocal done
            bar.update(task, completed=done, description=name[:60], refresh=True)
            if not console.is_terminal and done % 20 == 0:
                console.print(f"{done} of {total}: round {turn + 1}, {name}", markup=False)
            done += 1

        yield step


@contextlib.contextmanager
def _errors_in_a_line() -> Iterator[None]:
    """Say what is wrong with a cluster without a traceback."""
    try:
        yield
    except (UnreachableError, ClusterError, KafkaException, OSError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--readme", is_flag=True, help="put the short tables into README.md as well")
def report(folder: Path, readme: bool) -> None:
    """Make tables and pictures of a folder of results, from its JSON only."""
    try:
        made = page.report(folder)
    except FileNotFoundError as error:
        raise click.ClickException(str(error)) from error
    console.print(f"{made}")
    if readme:
        page.write_readme(folder.resolve())
        console.print("README.md")


@main.command()
@click.argument("old", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("new", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--figure", type=click.Choice(["wall", "cpu", "p50", "p99"]), multiple=True, default=("cpu", "wall"))
def compare(old: Path, new: Path, figure: tuple[str, ...]) -> None:
    """Say what got slower between two folders of results, with the noise of both; exit status 1 if anything did."""
    from bench.compare import differences, table

    found = differences(old, new, figure)
    if not found:
        raise click.ClickException(f"{old} and {new} have no case in common")
    text = table(found)
    console.print(Markdown(text) if console.is_terminal else text, markup=False)
    if any(one.is_slower for one in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
