"""What is installed here: the first thing to look at, and to send along, when something does not fit."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version

import twolane
from twolane import _build as build
from twolane.client import library


def about() -> dict[str, str]:
    """Return versions and places: twolane and how it was built, librdkafka and where it was found, Python, the system.

    Also as ``twolane about`` and ``python -m twolane about``.

    Returns
    -------
    dict of str to str
        ``twolane``, ``build`` (compiler, Cython, flags), ``librdkafka`` (version and file), ``confluent-kafka``,
        ``numpy``, ``python`` (version, and whether the GIL is on) and ``system``.

    Raises
    ------
    LibraryError
        If there is no librdkafka that fits; it says what was found and what is accepted.
    """
    gil = "with" if getattr(sys, "_is_gil_enabled", lambda: True)() else "without"
    return {
        "twolane": twolane.__version__,
        "build": ", ".join([build.COMPILER, f"Cython {build.CYTHON}", *(build.FLAGS or ["release"])]),
        "librdkafka": f"{library.VERSION_TEXT} ({library.PATH})",
        "confluent-kafka": version("confluent-kafka"),
        "numpy": version("numpy"),
        "python": f"{platform.python_implementation()} {platform.python_version()}, {gil} GIL",
        "system": platform.platform(),
    }
