"""Where librdkafka is found, and what is said where it is not."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import subprocess
import sys
from pathlib import Path

import confluent_kafka
import pytest

from twolane import LibraryError
from twolane.client import library, locate

ROOT = Path(__file__).parents[2]
NAMES = tuple(library.resolved())


def test_every_function_is_resolved_from_the_library_that_confluent_kafka_uses():
    addresses = library.resolved()
    assert all(addresses.values())
    assert len(set(addresses.values())) == len(addresses)
    own = ctypes.CDLL(confluent_kafka.cimpl.__file__)
    for name, address in addresses.items():
        assert ctypes.cast(getattr(own, name), ctypes.c_void_p).value == address


def test_its_version_is_confluent_kafkas():
    text, number = confluent_kafka.libversion()
    assert number == library.VERSION
    assert text == library.VERSION_TEXT
    assert "librdkafka" in library.PATH


def test_names_and_texts_of_errors():
    assert library.error_name(7) == "REQUEST_TIMED_OUT"
    assert library.error_text(-192) == "Local: Message timed out"


def test_the_override_names_the_library(monkeypatch):
    monkeypatch.setenv(locate.OVERRIDE, library.PATH)
    found = locate.locate(NAMES)
    assert found.path == library.PATH
    assert found.version == library.VERSION
    assert set(found.addresses) == set(NAMES)


def test_an_override_that_is_not_there_is_named(monkeypatch, tmp_path):
    missing = str(tmp_path / "librdkafka.so.1")
    monkeypatch.setenv(locate.OVERRIDE, missing)
    with pytest.raises(LibraryError, match="cannot be loaded") as caught:
        locate.locate(NAMES)
    assert f"{locate.OVERRIDE}={missing}" in str(caught.value)
    assert isinstance(caught.value, ImportError)


def test_a_file_that_is_no_library_is_named(monkeypatch, tmp_path):
    text = tmp_path / "librdkafka.so.1"
    text.write_text("not a library")
    monkeypatch.setenv(locate.OVERRIDE, str(text))
    with pytest.raises(LibraryError, match="cannot be loaded"):
        locate.locate(NAMES)


@pytest.mark.skipif(sys.platform != "linux", reason="the C library has another name")
def test_another_library_is_recognised(monkeypatch):
    monkeypatch.setenv(locate.OVERRIDE, "libm.so.6")
    with pytest.raises(LibraryError, match="not a librdkafka") as caught:
        locate.locate(NAMES)
    assert "libm.so.6" in str(caught.value)


@pytest.mark.parametrize("bounds", [(0x7F000000, 0x7F010000), (0x00010000, 0x00020000)], ids=["too old", "too new"])
def test_a_version_that_does_not_fit_is_told_with_those_that_do(monkeypatch, bounds):
    monkeypatch.setattr(locate, "OLDEST", bounds[0])
    monkeypatch.setattr(locate, "TOO_NEW", bounds[1])
    with pytest.raises(LibraryError, match="does not fit") as caught:
        locate.locate(NAMES)
    assert library.VERSION_TEXT in str(caught.value)
    assert locate.version_text(bounds[0]) in str(caught.value)
    assert locate.version_text(bounds[1]) in str(caught.value)


def test_the_oldest_version_is_accepted_and_the_bound_is_not(monkeypatch):
    monkeypatch.setattr(locate, "OLDEST", library.VERSION)
    monkeypatch.setattr(locate, "TOO_NEW", library.VERSION + 1)
    locate.locate(NAMES)
    monkeypatch.setattr(locate, "TOO_NEW", library.VERSION)
    with pytest.raises(LibraryError):
        locate.locate(NAMES)


def test_missing_functions_are_listed():
    with pytest.raises(LibraryError, match="lacks rd_kafka_aaa, rd_kafka_zzz"):
        locate.locate((*NAMES, "rd_kafka_zzz", "rd_kafka_aaa"))


def test_without_confluent_kafka_it_says_what_to_install(monkeypatch):
    monkeypatch.delenv(locate.OVERRIDE, raising=False)
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(LibraryError, match="Install confluent-kafka"):
        locate.locate(NAMES)


def test_functions_from_two_files_are_refused(monkeypatch):
    real = locate._mapped_file
    other = library.resolved()["rd_kafka_flush"]
    monkeypatch.setattr(locate, "_mapped_file", lambda address: "/other.so" if address == other else real(address))
    with pytest.raises(LibraryError, match=r"several files: .*other\.so"):
        locate.locate(NAMES)


@pytest.mark.parametrize(
    ("value", "text"), [("/nowhere/librdkafka.so", "cannot be loaded"), ("libm.so.6", "not a librdkafka")]
)
@pytest.mark.skipif(sys.platform != "linux", reason="the C library has another name")
def test_import_fails_with_that_error(value, text):
    done = subprocess.run(
        [sys.executable, "-c", "import twolane"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), locate.OVERRIDE: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "LibraryError" in done.stderr
    assert text in done.stderr


def test_version_text():
    assert locate.version_text(0x020C0001) == "2.12.0"
