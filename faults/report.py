"""A report of rounds, as Markdown, from the JSON lines that a campaign appends; perhaps a picture.

``python -m faults.report FILE... [--picture FILE.svg] [--keep FILE.jsonl] [--page FILE.md]``. Variants of the same
rounds, such as "confluent", are side by side in the table of recovery times.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faults import results

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OURS = "twolane"
KEPT_VERSIONS = ("commit", "kafka", "librdkafka", "confluent-kafka", "python")
ADDED_UP = ("records", "written", "not_written", "unknown", "false_unknown", "duplicates")
PAGE = """\
# What the rounds found

Rounds of [faults](faults.md) on real brokers, from `{files}`, by `python -m faults.report`. Where a round broke a
promise, its cause stands behind the command that makes it again; the F-numbers are those of [hazards](hazards.md).

![First acknowledgements after each kind of fault; records called unknown that are not in the log]({picture})

"""
# Readable on a dark page and on a light one.
INK, BAR, MARK = "#808890", "#3b8fd4", "#e0762f"


def markdown(lines: Sequence[dict[str, Any]]) -> str:
    """Return the report of some rounds."""
    ours = [line for line in lines if line["variant"] == OURS]
    judged = [line for line in ours if not line["void"]]
    broken = [line for line in judged if line["violations"]]
    sums = _sums(judged)
    versions = sorted({f"{name} {text}" for line in judged for name, text in line["versions"].items()})
    parts = [
        f"{len(judged)} rounds, {_number(sums['records'])} records, {len(broken)} rounds with violations.",
        _bound(len(judged), len(broken)),
        f"{len(ours) - len(judged)} rounds more have no verdict, because the brokers could not be healed."
        if len(ours) > len(judged)
        else "",
        _commits(judged),
        _table(judged),
        "A *false unknown* is a record that was called unknown and is not in the log.",
        _recoveries(lines),
        "\n".join(_violation(line) for line in broken),
        f"Versions: {', '.join(versions)}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _bound(rounds: int, broken: int) -> str:
    """Return what rounds without a violation prove: the rule of three."""
    if broken or rounds <= 3:
        return ""
    return f"With 95 % confidence fewer than {3 / rounds:.2%} of such rounds break a promise (3/n)."


def _sums(lines: Iterable[dict[str, Any]]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for line in lines:
        sums.update({name: line["counts"].get(name, 0) for name in ADDED_UP})
    return sums


def _by_fault(lines: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found = defaultdict(list)
    for line in lines:
        found[line["fault"]].append(line)
    return dict(sorted(found.items()))


def _commits(lines: Sequence[dict[str, Any]]) -> str:
    """Return a row for each state of the code, in the order of the files: what one found, the next may have mended."""
    groups = defaultdict(list)
    for line in lines:
        groups[line["versions"].get("commit", "")].append(line)
    if len(groups) < 2:
        return ""
    rows = [["commit", "rounds", "records", "rounds with violations", "3/n"]]
    for commit, group in groups.items():
        broken = sum(bool(line["violations"]) for line in group)
        bound = "" if broken or len(group) <= 3 else f"{3 / len(group):.1%}"
        rows.append([f"`{commit}`", str(len(group)), _number(_sums(group)["records"]), str(broken), bound])
    return _lines(rows)


def _table(lines: Sequence[dict[str, Any]]) -> str:
    names = [name.replace("_", " ") for name in ADDED_UP]
    rows = [["fault", "rounds", *names, "violations", "3/n"]]
    for fault, group in [*_by_fault(lines).items(), ("**all**", list(lines))]:
        sums = _sums(group)
        violations = sum(len(line["violations"]) for line in group)
        bound = "" if violations or len(group) <= 3 else f"{3 / len(group):.1%}"
        rows.append([fault, str(len(group)), *(_number(sums[name]) for name in ADDED_UP), str(violations), bound])
    return _lines(rows)


def _recoveries(lines: Sequence[dict[str, Any]]) -> str:
    """Return the seconds from the healing to the first acknowledgement, of each variant."""
    variants = sorted({line["variant"] for line in lines}, key=lambda name: (name != OURS, name))
    rows = [["recovery: median (highest), s", *variants]]
    for fault, group in _by_fault(lines).items():
        cells = []
        for variant in variants:
            times = recovery_times(line for line in group if line["variant"] == variant)
            cells.append(f"{statistics.median(times):.2f} ({max(times):.2f})" if times else "")
        if any(cells):
            rows.append([fault, *cells])
    return _lines(rows)


def recovery_times(lines: Iterable[dict[str, Any]]) -> list[float]:
    """Return the recovery times of those rounds that have one."""
    return [line["recovery_seconds"] for line in lines if line["recovery_seconds"] is not None and not line["void"]]


def _violation(line: dict[str, Any]) -> str:
    texts = "; ".join(f"{one['kind']} ({one['count']}): {one['detail']}" for one in line["violations"])
    cause = f" **{line['cause']}**" if "cause" in line else ""
    return f"- `{line['replay']}`: {texts}.{cause}"


def _lines(rows: list[list[str]]) -> str:
    head, *rest = rows
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, marks, *rest))


def _number(value: int) -> str:
    return f"{value:,}".replace(",", " ")


def picture(lines: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw recovery times and false unknowns of each fault, as SVG or whatever the suffix says."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    ours = _by_fault(line for line in lines if line["variant"] == OURS and not line["void"])
    names = list(ours)[::-1]
    style = {"text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK}
    fixed = {"svg.hashsalt": "twolane", "svg.fonttype": "none", "font.size": 9}
    with mpl.rc_context({**style, **fixed, "axes.spines.top": False, "axes.spines.right": False}):
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(9, 1.2 + 0.24 * len(names)), layout="constrained", sharey=True
        )
        for place, name in enumerate(names):
            times = recovery_times(ours[name])
            left.plot(times, [place] * len(times), "o", color=BAR, markersize=4, alpha=0.7)
            if times:
                left.plot(statistics.median(times), place, "|", color=MARK, markersize=12, markeredgewidth=2)
        left.set_yticks(range(len(names)), names)
        left.set_xlim(left=0)
        left.set_title("first acknowledgement after the healing, s")
        sums = [_sums(ours[name]) for name in names]
        right.barh(range(len(names)), [one["false_unknown"] for one in sums], color=MARK)
        right.set_xscale("symlog", linthresh=1)
        right.set_title("called unknown, not in the log: records")
        for axes in (left, right):
            axes.grid(axis="x", alpha=0.3)
        figure.savefig(path, transparent=True, metadata={"Date": None} if path.suffix == ".svg" else None)
        plt.close(figure)


def kept(line: dict[str, Any]) -> dict[str, Any]:
    """Return what a report needs of a round, to be published."""
    names = ("seed", "fault", "variant", "void", "recovery_seconds", "replay", "cause")
    return {
        **{name: line[name] for name in names if name in line},
        "violations": [{**one, "detail": one["detail"].partition("; ")[0]} for one in line["violations"]],
        "counts": {name: line["counts"][name] for name in ADDED_UP if name in line["counts"]},
        "versions": {name: line["versions"].get(name, "") for name in KEPT_VERSIONS},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report of the files given."""
    parser = argparse.ArgumentParser(prog="python -m faults.report", description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, help="JSON lines of rounds")
    parser.add_argument("--picture", type=Path, help="draw recovery times and false unknowns into this file")
    parser.add_argument("--keep", type=Path, help="append what the report needs of each round to this file")
    parser.add_argument("--page", type=Path, help="write the report there, with the picture, instead of printing it")
    given = parser.parse_args(arguments)
    lines = results.read(given.files)
    if given.keep:
        for line in lines:
            results.append(given.keep, kept(line))
    if given.page:
        names = ", ".join(str(path) for path in given.files)
        picture_name = given.picture.name if given.picture else ""
        given.page.write_text(PAGE.format(files=names, picture=picture_name) + markdown(lines))
    else:
        print(markdown(lines), end="")
    if given.picture:
        picture(lines, given.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
