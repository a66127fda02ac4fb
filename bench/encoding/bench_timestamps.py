"""pack_timestamps against numpy and the Python loop, in one run: read the ratios.

``python -m bench.encoding.bench_timestamps``; pyperf's own options follow.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyperf

from twolane.encoding.timestamps import pack_timestamps

N = 100_000


def main() -> None:
    runner = pyperf.Runner(processes=3, values=3)
    array = (1_700_000_000_000_000_000 + np.arange(N) * 1_000_003).astype("M8[ns]")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    values = [start + timedelta(milliseconds=7 * i) for i in range(N)]
    assert (pack_timestamps(array) == array.astype("M8[ms]").astype(np.int64)).all()
    assert pack_timestamps(values).tolist() == [round(value.timestamp() * 1000) for value in values]
    runner.bench_func("datetime64ns_numpy_astype", lambda: array.astype("M8[ms]"), inner_loops=N)
    runner.bench_func("datetime64ns_pack", lambda: pack_timestamps(array), inner_loops=N)
    runner.bench_func("datetimes_python_loop", lambda: [int(d.timestamp() * 1000) for d in values], inner_loops=N)
    runner.bench_func("datetimes_pack", lambda: pack_timestamps(values), inner_loops=N)


if __name__ == "__main__":
    main()
