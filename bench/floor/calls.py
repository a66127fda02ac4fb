"""What the size of a call costs: a million records by ``send_batch``, in calls of 100 to all of them at once.

Columns to Avro and ready bytes, three partitions, every run in a process of its own and read back; rounds in turn, CPU
per record beside that of one call for all, round by round. Calls of a hundred are what a loop over small messages
makes; `bench run` has calls of 10 000. ``python -m bench.floor.calls --cluster own --json FILE`` takes five minutes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from bench.clusters import open_cluster
from bench.contender import Task, write_values
from bench.lanes import BATCH, CONTENDERS
from bench.machine import write
from bench.matrix import PEER_PARTITIONS
from bench.measure import measure
from bench.suite import OVERHEAD
from bench.verify import Log

RECORDS = 1_000_000
SIZE = 100
DATA = ("avro", "bytes")
SMALLEST_CALL = 100
WARM_UP = 100 * PEER_PARTITIONS


def sizes(records: int) -> list[int]:
    """Return the calls' sizes: powers of ten, and last all records at once."""
    found, size = [], SMALLEST_CALL
    while size < records:
        found.append(size)
        size *= 10
    return [*found, records]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.floor.calls", description=__doc__)
    parser.add_argument("--cluster", choices=("embedded", "own"), default="embedded")
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    lane = next(one for one in CONTENDERS if one.name == BATCH)
    wanted = [(data, call) for data in DATA for call in sizes(given.records)]
    runs: dict[tuple[str, int], list[float]] = {one: [] for one in wanted}
    with (
        open_cluster(given.cluster) as kafka,
        Log(kafka.bootstrap_servers) as log,
        tempfile.TemporaryDirectory() as folder,
    ):
        values = Path(folder) / "values"
        write_values(values, SIZE)
        # The first round is the brokers' warm-up.
        for round_ in range(given.rounds + 1):
            for data, call in wanted:
                task = Task(
                    bootstrap_servers=kafka.bootstrap_servers,
                    topic=kafka.topic(PEER_PARTITIONS, (given.records + WARM_UP) * (SIZE + OVERHEAD)),
                    partitions=PEER_PARTITIONS,
                    values=str(values),
                    records=given.records,
                    warmup=WARM_UP,
                    call=call,
                    data=data,
                )
                result = measure(lane, task, kafka, log)
                if round_:
                    runs[data, call].append(result.cpu / result.records * 1e9)
        facts = kafka.facts()
    rows = []
    for (data, call), costs in runs.items():
        ratios = [cost / whole for cost, whole in zip(costs, runs[data, given.records], strict=True)]
        row = {"data": data, "call": call, "cpu_ns_per_record": round(statistics.median(costs), 1)}
        row["to_one_call"] = [round(pick(ratios), 3) for pick in (statistics.median, min, max)]
        rows.append(row)
        print(row, flush=True)
    if given.json:
        what = f"bench.floor.calls: {given.records} records, {given.rounds} rounds; medians, ratios with least and most"
        write(given.json, what, **facts, runs=rows)


if __name__ == "__main__":
    main()
