"""Put the newest figures of ``bench.tuning`` into docs/tuning.md: ``python -m bench.tuning.page``."""

from __future__ import annotations

from typing import Any

from bench import pages
from bench.tuning import variants

NAME = "machine.json"
CPU, RATE, RSS = "cpu_ns_per_record_ratio", "records_per_second_ratio", "rss_mib_ratio"
NONE_YET = "Not measured yet: `python -m bench.tuning --json FILE`, then `python -m bench.tuning.page`.\n\n"


def _spread(ratio: list[float]) -> str:
    middle, least, most = ratio
    return f"{middle:.2f} ({least:.2f} to {most:.2f})"


def _table(title: str, names: list[str], columns: list[tuple[str, str, str]], runs: list[dict[str, Any]]) -> list[str]:
    """Return a table of ratios: a row for each variant, a column for a head, a scene and a figure."""
    found = {(run["scene"], run["variant"]): run for run in runs}
    rows = [
        [name, *(_spread(found[scene, name][key]) if (scene, name) in found else "" for _, scene, key in columns)]
        for name in names
        if any((scene, name) in found for _, scene, _ in columns)
    ]
    return [f"**{title}**", "", *pages.table([["", *(head for head, _, _ in columns)], *rows])]


def text() -> str:
    """Return the page's lines on the newest JSON file."""
    if not list(pages.ROOT.glob(f"bench/results/*/{NAME}")):
        return NONE_YET
    path = pages.newest(NAME)
    report = pages.read(path)
    runs = report["runs"]
    scenes = list(dict.fromkeys(run["scene"] for run in runs))
    whole = [scene.name for scene in variants.SCENES if scene.is_whole and scene.name in scenes]
    heads = [(f"{scene}: {what}", scene, key) for scene in whole for what, key in (("CPU", CPU), ("records/s", RATE))]
    allocators = [one.name for one in variants.ALLOCATION]
    lines = [
        *_table("Allocators: CPU of a record", allocators, [(scene, scene, CPU) for scene in scenes], runs),
        *_table("Allocators: memory", allocators, [(scene, scene, RSS) for scene in scenes], runs),
        *_table("Everything else", [one.name for one in variants.OTHERS], heads, runs),
        f"Left out: {', '.join(report['left_out']) or 'nothing'}. {pages.source(path)}",
        "",
    ]
    return "\n".join(lines)


def write() -> None:
    """Put the figures into the page."""
    pages.put("tuning.md", "bench.tuning", text())


if __name__ == "__main__":
    write()
