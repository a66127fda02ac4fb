"""Where librdkafka is found, and what is said where it is not."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import subprocess
import sys
import tomllib
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
    assert locate.REQUIREMENT in str(caught.value)
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
        [sys.executable, "-c", "from twolane import SafeProducer"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), locate.OVERRIDE: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "LibraryError" in done.stderr
    assert text in done.stderr


def test_the_requirement_is_the_packages():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert locate.REQUIREMENT in pyproject["project"]["dependencies"]
    # confluent-kafka and librdkafka are released under the same numbers, but for the last one.
    assert locate.REQUIREMENT.partition(">=")[2] == locate.version_text(locate.OLDEST)


# ---- other systems, simulated: nothing of this has run there ---------------------------------------------------------


def wheel(folder: Path, *names: str) -> Path:
    """Lay out the files of a confluent-kafka wheel, give its extension module (the first)."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder / names[0]


def opened(monkeypatch: pytest.MonkeyPatch, platform: str, module: Path) -> list[str | None]:
    """Tell which files would be opened to look for functions, on that platform."""
    files: list[str | None] = []
    real = ctypes.CDLL

    def record(name: str | None) -> ctypes.CDLL:
        files.append(name)
        return real(library.PATH)

    monkeypatch.delenv(locate.OVERRIDE, raising=False)
    monkeypatch.setattr(locate.sys, "platform", platform)
    monkeypatch.setattr(confluent_kafka.cimpl, "__file__", str(module))
    monkeypatch.setattr(locate.ctypes, "CDLL", record)
    found = locate.locate(NAMES)
    assert set(found.addresses) == set(NAMES)
    return files


def test_windows_asks_the_dll_of_the_wheel(monkeypatch, tmp_path):
    # The names are those of confluent_kafka-2.16.1-cp313-cp313-win_amd64.whl.
    module = wheel(
        tmp_path,
        "confluent_kafka/cimpl.cp313-win_amd64.pyd",
        "confluent_kafka.libs/libcrypto-3-x64-9aa2fe32eff41de79466f83a99d3efad.dll",
        "confluent_kafka.libs/librdkafka-c22ebd06abd15eecc66d013d8d759906.dll",
    )
    dll = str(tmp_path / "confluent_kafka.libs" / "librdkafka-c22ebd06abd15eecc66d013d8d759906.dll")
    assert set(opened(monkeypatch, "win32", module)) == {dll}


def test_windows_without_a_wheel_asks_for_the_dll_by_name(monkeypatch, tmp_path):
    module = wheel(tmp_path, "confluent_kafka/cimpl.cp313-win_amd64.pyd")
    assert set(opened(monkeypatch, "win32", module)) == {"librdkafka.dll"}


def test_macos_asks_the_extension_module(monkeypatch, tmp_path):
    # The names are those of confluent_kafka-2.16.1-cp313-cp313-macosx_13_0_arm64.whl.
    module = wheel(tmp_path, "confluent_kafka/cimpl.cpython-313-darwin.so", "confluent_kafka/.dylibs/librdkafka.dylib")
    # None is the process itself: where dladdr is.
    assert set(opened(monkeypatch, "darwin", module)) == {str(module), None}


def test_a_library_that_cannot_be_opened_again_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv(locate.OVERRIDE, raising=False)
    monkeypatch.setattr(confluent_kafka.cimpl, "__file__", str(tmp_path / "cimpl.so"))
    with pytest.raises(LibraryError, match=r"cimpl\.so cannot be loaded again"):
        locate.locate(NAMES)


def test_version_text():
    assert locate.version_text(0x020C0001) == "2.12.0"
