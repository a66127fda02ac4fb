"""Start-up: fresh interpreters that import, one step more in each. ``python -m bench.startup``, ``make bench-startup``.

The cost of a step is its mean less that of the step before. pyperf's arguments work: ``--fast``, ``--output FILE``.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pyperf

from bench.machine import forget_place

# Name and code of each step; each holds the one before it.
STEPS = {
    "confluent_kafka": "import confluent_kafka",
    "twolane": "import confluent_kafka, twolane",
    "numpy": "import confluent_kafka, twolane, numpy",
    "producers": "import confluent_kafka, twolane, numpy; twolane.SafeProducer, twolane.ThroughputProducer",
}
# Seconds that `import twolane` may take beyond confluent_kafka.
MOST = 0.060


def main() -> None:
    runner = pyperf.Runner(program_args=("-m", "bench.startup"))  # how its workers are started, too
    means = {}
    for name, code in STEPS.items():
        benchmark = runner.bench_command(f"startup: {name}", [sys.executable, "-c", code])
        if benchmark is not None and not runner.args.worker:
            means[name] = benchmark.mean()
    if len(means) < len(STEPS):
        return
    if runner.args.output:
        forget_place(Path(runner.args.output))
    for before, name in itertools.pairwise(means):
        print(f"{name:16} {1e3 * (means[name] - means[before]):6.1f} ms more than {before}")
    if means["twolane"] - means["confluent_kafka"] > MOST:
        sys.exit(f"import twolane takes more than {1e3 * MOST:.0f} ms beyond confluent_kafka")


if __name__ == "__main__":
    main()
