"""Put the newest committed figures of the demo into the README: ``python -m bench.demo.readme``."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACE = re.compile(r"(<!-- demo -->\n).*(<!-- /demo -->)", re.S)


def newest() -> Path:
    """Return the newest JSON of the demo, relative to the project's root."""
    return max(ROOT.glob("bench/results/*/demo.json")).relative_to(ROOT)


def text(path: Path) -> str:
    """Return the README's lines on one JSON."""
    report = json.loads((ROOT / path).read_text())
    machine, versions = report["machine"], report["versions"]
    lines = [
        "| lane | call | records | records/s | CPU ns/record | verified |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for run in report["runs"]:
        figures = " | ".join(
            f"{run[key]:,}".replace(",", " ") for key in ("records", "records_per_second", "cpu_ns_per_record")
        )
        lines.append(f"| {run['lane']} | `{run['call']}` | {figures} | {'yes' if run['verified'] else 'NO'} |")
    lines += [
        "",
        f"{report['date'][:10]}, {machine['cpus']} shared CPUs ({machine['cpu']}, load {machine['load_1min']}), "
        f"{report['cluster']} cluster, Python {versions['python']}, librdkafka {versions['librdkafka']}; "
        f"raw: [{path.name}]({path.as_posix()}).",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    readme = ROOT / "README.md"
    readme.write_text(PLACE.sub(lambda found: found[1] + text(newest()) + found[2], readme.read_text()))


if __name__ == "__main__":
    main()
