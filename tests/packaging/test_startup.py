"""What an import loads: nothing that the user did not ask for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.packaging.sources import ROOT

# Other people's packages that twolane knows how to meet, and parts of its own that only some users want.
GUESTS = {"pyarrow", "pandas", "polars", "duckdb", "fastavro", "httpx2", "pytest"}
PARTS = {
    "twolane.serializers.schema_registry",
    "twolane.testing",
    "confluent_kafka.schema_registry",
    "confluent_kafka.admin",
}


def loaded(code: str) -> set[str]:
    """Return the modules that a fresh interpreter has after running `code`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_the_package_alone_loads_nothing_else():
    found = loaded("import twolane")
    assert {name for name in found if name.startswith("twolane")} == {"twolane"}
    assert not found & {"numpy", "confluent_kafka", "ctypes"}


@pytest.mark.parametrize("name", ["SafeProducer", "ThroughputProducer", "Avro", "Json"])
def test_a_producer_loads_no_guests(name: str):
    found = loaded(f"from twolane import {name}")
    assert "numpy" in found
    assert not found & (GUESTS | PARTS)


def test_errors_load_no_librdkafka():
    assert "twolane.client.library" not in loaded("from twolane import DeliveryError, RecordMetadata, Verdict")


def test_every_public_name_can_be_had():
    import twolane

    assert set(twolane.__all__) <= set(dir(twolane))
    for name in [*twolane.__all__, "__version__"]:
        assert getattr(twolane, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Producer'"):
        twolane.Producer


def test_about_names_what_is_used():
    import confluent_kafka

    import twolane
    from twolane.client import library

    told = twolane.about()
    assert told["twolane"] == twolane.__version__
    assert told["confluent-kafka"] == confluent_kafka.__version__
    assert told["librdkafka"] == f"{confluent_kafka.libversion()[0]} ({library.PATH})"
    assert told["python"].startswith(f"CPython {sys.version.split()[0]}, with")
    assert "Cython 3." in told["build"]
    printed = subprocess.run(
        [sys.executable, "-m", "twolane", "about"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split(None, 1) for line in printed.stdout.splitlines()] == [list(pair) for pair in told.items()]
