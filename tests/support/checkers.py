"""What a log must look like after a producer has spoken: the checks, with Jepsen's names where it has one.

A test keeps what it sent as a list of `Sent`, in the order of sending, and reads the log with `tests.support.readers`.
Values must be unique within the test, or a duplicate could not be told from a second record.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from twolane.errors import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.support.readers import ReadRecord


class Sent(NamedTuple):
    """One record that was handed over, and what the producer said of it (offset None: it told none)."""

    partition: int
    value: bytes
    verdict: Verdict
    offset: int | None = None


def _by_partition(records: Iterable[Sent | ReadRecord]) -> dict[int, list]:
    found = defaultdict(list)
    for record in records:
        found[record.partition].append(record)
    return found


def lost_writes(sent: Sequence[Sent], log: Sequence[ReadRecord]) -> list[str]:
    """Return what was called written and is not in the log, or not where it was said to be."""
    there = {(record.partition, record.offset): record.value for record in log}
    present = {(record.partition, record.value) for record in log}
    problems = []
    for one in sent:
        if one.verdict is not Verdict.WRITTEN:
            continue
        if (one.partition, one.value) not in present:
            problems.append(f"lost write: {one}")
        elif one.offset is not None and there.get((one.partition, one.offset)) != one.value:
            problems.append(f"not at its offset: {one}, there is {there.get((one.partition, one.offset))!r}")
    return problems


def phantom_writes(sent: Sequence[Sent], log: Sequence[ReadRecord]) -> list[str]:
    """Return what was called not written and is in the log (Jepsen's G1a), or was never sent at all."""
    verdicts = {(one.partition, one.value): one.verdict for one in sent}
    problems = []
    for record in log:
        verdict = verdicts.get((record.partition, record.value))
        if verdict is None:
            problems.append(f"never sent: {record}")
        elif verdict is Verdict.NOT_WRITTEN:
            problems.append(f"called not written: {record}")
    return problems


def disorder(sent: Sequence[Sent], log: Sequence[ReadRecord]) -> list[str]:
    """Return written records that are, at their first occurrence, before one sent earlier to the same partition.

    Records of unknown fate are left out: no order was promised for them.
    """
    problems = []
    logs = _by_partition(log)
    for partition, records in _by_partition(sent).items():
        order = {one.value: i for i, one in enumerate(records) if one.verdict is Verdict.WRITTEN}
        seen = list(dict.fromkeys(record.value for record in logs[partition] if record.value in order))
        problems += [
            f"partition {partition}: {later!r} is before {earlier!r}"
            for later, earlier in itertools.pairwise(seen)
            if order[later] > order[earlier]
        ]
    return problems


def duplicates(sent: Sequence[Sent], log: Sequence[ReadRecord]) -> list[str]:
    """Return values that are in a partition more than once."""
    counts = Counter((record.partition, record.value) for record in log)
    return [f"partition {partition}: {value!r} {n} times" for (partition, value), n in counts.items() if n > 1]


def gaps(sent: Sequence[Sent], log: Sequence[ReadRecord]) -> list[str]:
    """Return records missing before one that is there: a batch must leave a prefix of itself in every partition."""
    problems = []
    logs = _by_partition(log)
    for partition, records in _by_partition(sent).items():
        present = {record.value for record in logs[partition]}
        holes = [one.value for one in records if one.value not in present]
        last = max((i for i, one in enumerate(records) if one.value in present), default=-1)
        problems += [
            f"partition {partition}: {one.value!r} is missing before {records[last].value!r}"
            for one in records[:last]
            if one.value in holes
        ]
    return problems


def assert_kept_its_word(
    sent: Sequence[Sent], log: Sequence[ReadRecord], *, once: bool = False, prefix: bool = False
) -> None:
    """Fail with every broken promise: order and verdicts always; `once` no duplicates; `prefix` no gaps.

    `sent` may be several batches one after the other; `prefix` then holds for the whole, so give it one batch.
    """
    checks = [lost_writes, phantom_writes, disorder, *([duplicates] if once else []), *([gaps] if prefix else [])]
    problems = [problem for check in checks for problem in check(sent, log)]
    if problems:
        raise AssertionError(f"{len(problems)} broken promises:\n" + "\n".join(problems[:20]))
