"""Find the librdkafka that the installed confluent-kafka uses, and the address of every function needed of it.

One librdkafka in the process: the extension links against none and ships none. It takes the one that
confluent-kafka's own extension module has mapped, so the two can never disagree. ``TWOLANE_LIBRDKAFKA=/path``
names another one.

Linux is where this runs every day. macOS and Windows follow the contents of confluent-kafka's wheels; their ways are
tested by simulation only.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from twolane.errors import LibraryError

if TYPE_CHECKING:
    from collections.abc import Sequence

OVERRIDE = "TWOLANE_LIBRDKAFKA"
# 2.12.0 mended a double free of headers in rd_kafka_produceva (CHANGELOG, #4628). 3.0 may change the ABI.
OLDEST, TOO_NEW = 0x020C0000, 0x03000000
# The confluent-kafka releases that bring such a librdkafka; pyproject.toml asks for the same.
REQUIREMENT = "confluent-kafka>=2.12.0"


@dataclass(frozen=True)
class Found:
    """A librdkafka that fits: where it is, which one it is, and where its functions are."""

    path: str
    version: int
    version_text: str
    addresses: dict[str, int]


class _DlInfo(ctypes.Structure):
    """``Dl_info`` of dlfcn.h: which file an address was mapped from."""

    _fields_ = (
        ("dli_fname", ctypes.c_char_p),
        ("dli_fbase", ctypes.c_void_p),
        ("dli_sname", ctypes.c_char_p),
        ("dli_saddr", ctypes.c_void_p),
    )


def version_text(version: int) -> str:
    """Return librdkafka's version number (``0xMMmmrrpp``) as ``"MM.mm.rr"``."""
    return ".".join(str(version >> shift & 0xFF) for shift in (24, 16, 8))


def _library_of(module: str) -> str:
    """Return the file to ask for librdkafka's functions, given confluent-kafka's extension module.

    Linux and macOS look names up through a library's dependencies, so the extension module answers for the librdkafka
    that it was linked to, wherever that lies: in the wheel, or the system's own if confluent-kafka came from source.
    Windows looks names up in the one file it is given: that has to be the DLL itself.
    """
    if sys.platform != "win32":
        return module
    bundled = sorted((Path(module).parent.parent / "confluent_kafka.libs").glob("librdkafka*.dll"))
    # Not in a wheel: the loader has mapped it for the extension module already, and finds it again by its name.
    return str(bundled[0]) if bundled else "librdkafka.dll"


def _open() -> tuple[ctypes.CDLL, str]:
    """Open the library: the override, else whatever confluent-kafka's extension module resolves to."""
    override = os.environ.get(OVERRIDE)
    if override:
        try:
            return ctypes.CDLL(override), override
        except OSError as error:
            raise LibraryError(f"{OVERRIDE}={override}: cannot be loaded: {error}") from error
    try:
        from confluent_kafka import cimpl
    except ImportError as error:
        raise LibraryError(
            f"twolane takes librdkafka from confluent-kafka, which cannot be imported: {error}. "
            f"Install {REQUIREMENT}, or name a library with {OVERRIDE}."
        ) from error
    path = _library_of(cimpl.__file__)
    try:
        return ctypes.CDLL(path), path
    except OSError as error:
        raise LibraryError(f"confluent-kafka's {path} cannot be loaded again: {error}") from error


def _mapped_file(address: int) -> str | None:
    """Return the file that `address` was mapped from, or None where the platform cannot tell."""
    if sys.platform == "win32":
        return None
    try:
        dladdr = ctypes.CDLL(None).dladdr
    except (AttributeError, OSError):
        return None
    info = _DlInfo()
    if not dladdr(ctypes.c_void_p(address), ctypes.byref(info)) or not info.dli_fname:
        return None
    return os.fsdecode(info.dli_fname)


def locate(names: Sequence[str]) -> Found:
    """Resolve `names`, check the version, and check that all of them come from one file.

    Raises
    ------
    LibraryError
        If the library cannot be loaded, has a version outside the accepted range, lacks one of the functions, or
        resolves them to more than one file.
    """
    library, path = _open()
    addresses: dict[str, int] = {}
    for name in ("rd_kafka_version", *names):
        try:
            addresses[name] = ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
        except AttributeError:
            addresses[name] = 0
    if not addresses["rd_kafka_version"]:
        raise LibraryError(f"{path}: not a librdkafka, it has no rd_kafka_version()")
    path = _mapped_file(addresses["rd_kafka_version"]) or path
    version = int(library.rd_kafka_version())
    found = f"{path}: librdkafka {version_text(version)}"
    accepted = f"accepted are {version_text(OLDEST)} to below {version_text(TOO_NEW)}"
    if not OLDEST <= version < TOO_NEW:
        raise LibraryError(f"{found} does not fit: {accepted}; pip install '{REQUIREMENT}' brings one")
    missing = sorted(name for name, address in addresses.items() if not address)
    if missing:
        raise LibraryError(f"{found} lacks {', '.join(missing)} ({accepted})")
    files = {_mapped_file(address) for address in addresses.values()}
    if len(files) > 1:
        # Something (LD_PRELOAD, a second copy) answers for some of the functions: two libraries must not mix.
        raise LibraryError(f"{found}: its functions resolve to several files: {', '.join(sorted(map(str, files)))}")
    return Found(path, version, version_text(version), {name: addresses[name] for name in names})
