"""What the lanes cost, beside others: ``python -m bench --help``, and docs/benchmarks.md for what the numbers mean."""
