"""Every target for a few thousand seeded inputs, and every input that once failed."""

from __future__ import annotations

import random
import time
from itertools import islice

import pytest

from tests.fuzz import engine

# Of processor time for each target: on a busy machine there are fewer inputs, not more seconds.
RUNS, SECONDS = 3_000, 0.7
LEAST = 100
REGRESSIONS = sorted(engine.REGRESSIONS.glob("*/*.hex"))


def loaded(target: str) -> engine.Run:
    try:
        return engine.load(target)
    except ModuleNotFoundError as error:
        if error.name not in ("orjson", "jsonschema"):  # which free-threaded Python has not
            raise
        pytest.skip(f"{error.name} is not installed")


@pytest.mark.parametrize("target", engine.TARGETS)
def test_seeded_inputs(target: str) -> None:
    run = loaded(target)
    end = time.process_time() + SECONDS
    for i, data in enumerate(islice(engine.inputs(random.Random(target)), RUNS)):
        run(data)
        if i >= LEAST and time.process_time() > end:
            break


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_input_that_once_failed(path: engine.Path) -> None:
    assert path.parent.name in engine.TARGETS
    loaded(path.parent.name)(bytes.fromhex(path.read_text()))
