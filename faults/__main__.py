"""``python -m faults``: rounds of faults on real brokers; ``make faults`` calls it."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faults.campaign import Client, possible, run
from faults.cluster import PROFILES, FaultCluster
from faults.injections import KINDS

if TYPE_CHECKING:
    from faults.campaign import Round

OUTPUT = Path("build/faults")
SHOWN = 10


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--rounds", type=click.IntRange(1), help="how many; default: each kind once")
@click.option("--seed", type=int, default=1, show_default=True, help="of the first round; the next one's is one more")
@click.option("--fault", "chosen", multiple=True, type=click.Choice(list(KINDS)), help="only these kinds")
@click.option("--minutes", type=float, help="begin no round later")
@click.option("--short", is_flag=True, help="no long faults, and none that take half a minute: what CI runs")
@click.option("--lenient", is_flag=True, help="what a busy machine alone can break is said, and is no violation")
@click.option("--loopback", is_flag=True, help="no network namespaces, even where root could have them")
@click.option(
    "--profile", type=click.Choice(list(PROFILES)), default="fast", show_default=True, help="brokers' deadlines"
)
@click.option("--output", type=click.Path(path_type=Path), default=OUTPUT, show_default=True)
@click.option(
    "--client",
    "peer",
    type=click.Choice(["twolane", "confluent", "java"]),
    default="twolane",
    show_default=True,
    help="whose producer sends",
)
@click.option("--python", help="an interpreter with another twolane, for the client alone")
@click.option("--blocking", is_flag=True, help="no asyncio, no submit(): what an older twolane has, too")
@click.option("--list", "shows_kinds", is_flag=True, help="the kinds of faults")
def main(
    rounds: int | None,
    seed: int,
    chosen: tuple[str, ...],
    minutes: float | None,
    short: bool,
    lenient: bool,
    loopback: bool,
    profile: str,
    output: Path,
    peer: str,
    python: str | None,
    blocking: bool,
    shows_kinds: bool,
) -> None:
    """Break real brokers, round after round, and hold what clients were told against the log.

    Results are appended to results.jsonl in the output folder. The exit code is 1 if any promise was broken.
    """
    if shows_kinds:
        for kind in KINDS.values():
            click.echo(f"{kind.name:20} {kind.about}")
        return
    names = list(chosen) or [name for name, kind in KINDS.items() if not (short and kind.is_slow)]
    # Ended in order, so that nothing is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.closing(FaultCluster(isolated=not loopback, profile=profile)) as cluster:
        kinds, skipped = possible(cluster, names)
        for name, reason in skipped.items():
            click.echo(f"skipped: {name:20} {reason}")
        if not kinds:
            raise click.ClickException("nothing is left to do")
        deadline = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
        done: list[Round] = []
        for one in run(
            cluster,
            kinds,
            seed,
            rounds or len(kinds),
            output,
            allow_long=not short,
            is_lenient=lenient,
            deadline=deadline,
            client=Client(
                peer if python is None else f"{peer}, another",
                "" if peer == "twolane" else peer,
                python or sys.executable,
                blocking,
            ),
        ):
            done.append(one)
            show(one)
    sys.exit(summarize(done))


def show(one: Round) -> None:
    """Print one round, and how to make it again if something is wrong with it."""
    work, counts = one.plan.workload, one.judgement.counts if one.judgement else {}
    marks = "/idempotent" * work.idempotence + "/transactional" * work.transactional
    how = f"{work.lane}/{work.front}{marks}/{work.batch}"
    recovery = "-" if one.recovery_seconds is None else f"{one.recovery_seconds:.2f}"
    told = " ".join(f"{counts.get(name, 0):>7}" for name in ("written", "not_written", "unknown", "false_unknown"))
    click.echo(f"{one.plan.seed:>6} {one.plan.fault:20} {how:42} {told}  {recovery:>6} s {one.seconds:5.1f} s")
    for violation in [*one.violations, *one.remarks][:SHOWN]:
        click.echo(f"       {violation.kind}: {violation.count} times: {violation.detail}")
    if one.void:
        click.echo(f"       no verdict: {one.void.splitlines()[0]}")
    if one.violations or one.void:
        click.echo(f"       again: {one.plan.replay}")


def summarize(done: list[Round]) -> int:
    """Print what all rounds found; return the exit code."""
    judged = [one for one in done if not one.void]
    counts: dict[str, int] = defaultdict(int)
    for one in judged:
        for name, count in (one.judgement.counts if one.judgement else {}).items():
            if isinstance(count, int):
                counts[name] += count
    bad = sum(bool(one.violations) for one in judged)
    click.echo(
        f"{len(judged)} rounds, {counts['records']} records, {counts['not_written']} not written, "
        f"{counts['unknown']} unknown ({counts['false_unknown']} of them not in the log), "
        f"{bad} rounds with violations, {len(done) - len(judged)} without a verdict"
    )
    return 1 if bad or not judged else 0


if __name__ == "__main__":
    main()
