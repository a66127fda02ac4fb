"""Put the newest figures of ``bench.load`` into docs/loading.md: ``python -m bench.load.page``."""

from __future__ import annotations

from bench import pages

# Of a table each; where a file is missing in the newest folder, the one of an older folder stands.
FILES = {
    "load.json": "336 776 flights of 19 columns",
    "load-synthetic.json": "10 000 000 rows of 5 columns",
    "load-synthetic-pandas.json": "The same rows through pandas and AvroSerializer, one round",
}
STREAM = "load-stream.json"


def _loads(name: str, title: str) -> list[str]:
    path = pages.newest(name)
    report = pages.read(path)
    rows = [
        [
            run["contender"].replace("|", "\\|"),
            run["cpu_us_per_record"],
            run["without_start"],
            run["wall_s"],
            pages.thousands(run["records_per_second"]),
        ]
        for run in report["runs"]
    ]
    head = ["", "CPU a record, us", "without the program's start", "seconds", "records a second"]
    return [f"**{title}**", "", *pages.table([head, *rows]), pages.source(path), ""]


def _stream() -> list[str]:
    path = pages.newest(STREAM)
    head = [
        "lane",
        "rows",
        "memory beyond the first record, MiB",
        "of it in the second half",
        "bound",
        "records a second",
    ]
    rows = [
        [
            run["lane"],
            pages.thousands(run["written"]),
            run["risen_mib"],
            run["risen_in_second_half_mib"],
            run["bound_mib"],
            pages.thousands(run["records_per_second"]),
        ]
        for run in pages.read(path)["runs"]
    ]
    return ["**One `send_stream()` of 10^8 rows as Avro**", "", *pages.table([head, *rows]), pages.source(path), ""]


def text() -> str:
    """Return the page's lines on the newest JSON files."""
    lines = [line for name, title in FILES.items() for line in _loads(name, title)]
    return "\n".join([*lines, *_stream()])


def write() -> None:
    """Put the figures into the page."""
    pages.put("loading.md", "bench.load", text())


if __name__ == "__main__":
    write()
