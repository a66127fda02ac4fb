"""What the counts depend on, and what counting needs."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sysconfig
from importlib.metadata import version
from pathlib import Path

import confluent_kafka

HEADER = "valgrind/callgrind.h"


def compiler() -> str:
    """Return the C compiler as `setup.py` would call it."""
    return (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]


def toolchain() -> dict[str, str]:
    """Return the versions by which the compiled modules and the loops become what they are."""
    said = subprocess.run([compiler(), "-dumpfullversion"], capture_output=True, text=True, check=False).stdout
    return {
        "machine": platform.machine(),
        "compiler": f"{Path(compiler()).name} {said.strip()}",
        "cython": version("cython"),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "librdkafka": confluent_kafka.libversion()[0],
    }


def missing() -> str | None:
    """Return why nothing can be counted here, else None."""
    for program in ("valgrind", compiler()):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    source = f"#include <{HEADER}>\n"
    command = [compiler(), "-E", "-x", "c", "-o", os.devnull, "-"]
    if subprocess.run(command, input=source, capture_output=True, text=True, check=False).returncode:
        return f"{HEADER} is not installed: on Debian and Ubuntu it comes with valgrind"
    return None
