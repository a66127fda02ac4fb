"""Put figures of a JSON file into a page of docs/, between two comments that name the benchmark."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def newest(name: str) -> Path:
    """Return the newest committed JSON of that name, relative to the project's root."""
    return max(ROOT.glob(f"bench/results/*/{name}")).relative_to(ROOT)


def read(path: Path) -> dict[str, Any]:
    """Return a file's figures; `path` is relative to the project's root."""
    report: dict[str, Any] = json.loads((ROOT / path).read_text())
    return report


def table(rows: list[list[Any]]) -> list[str]:
    """Return the lines of a table; the first row is its head."""
    head, *body = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return [head, "|" + " --- |" * len(rows[0]), *body, ""]


def thousands(number: float) -> str:
    """Return a number in groups of three digits."""
    return f"{number:,.0f}".replace(",", " ")


def source(path: Path) -> str:
    """Return the line that says where and when a file's figures were measured."""
    report = read(path)
    machine, versions = report["machine"], report["versions"]
    return (
        f"{report['date'][:10]}, {machine['cpus']} shared CPUs ({machine['cpu']}, load {machine['load_1min']}), Python "
        f"{versions['python']}, librdkafka {versions['librdkafka']}; raw: [{path.name}](../{path.as_posix()})."
    )


def put(page: str, place: str, text: str) -> None:
    """Put text into a page between its two comments; LookupError if it has no place for it."""
    path = ROOT / "docs" / page
    pattern = re.compile(rf"(<!-- {re.escape(place)} -->\n).*(<!-- /{re.escape(place)} -->)", re.S)
    written, places = pattern.subn(lambda found: found[1] + text + found[2], path.read_text())
    if not places:
        raise LookupError(f"{page} has no place for the figures: two lines, {pattern.pattern}")
    path.write_text(written)
