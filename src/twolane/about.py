"""What is installed here: the first thing to look at, and to send along, when something does not fit."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version

import numpy as np

from twolane.client import library


def about() -> dict[str, str]:
    """Return versions and places: twolane, librdkafka and where it was found, Python and what it runs on.

    Also as ``python -m twolane.about``.
    """
    gil = "with" if getattr(sys, "_is_gil_enabled", lambda: True)() else "without"
    return {
        "twolane": version("twolane"),
        "librdkafka": f"{library.VERSION_TEXT} ({library.PATH})",
        "confluent-kafka": version("confluent-kafka"),
        "numpy": np.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}, {gil} GIL",
        "system": platform.platform(),
    }


if __name__ == "__main__":
    for name, value in about().items():
        print(f"{name:16} {value}")
