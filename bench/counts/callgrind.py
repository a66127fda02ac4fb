"""Callgrind's output, read for one question: what the compiled modules of the package executed themselves.

The format is that of Valgrind's manual, "Callgrind Format Specification": `fn=` and `ob=` say whose the lines of costs
that follow are; `calls=` says how often another function was called, and the one line behind it what that cost, which
is not the caller's own.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# A name is written in full once, "(7) name", and from then on as "(7)".
NAMED = re.compile(r"(\(\d+\))(?: (.*))?$")
TRIGGER = "desc: Trigger: Client Request: "


@dataclass
class Profile:
    """What one loop executed.

    Attributes
    ----------
    loop : str
        As it was named by ``end_counting()`` of marks.c.
    instructions : Counter
        Of the package's functions themselves, by (module, function).
    calls : int
        Calls from the package's functions into other libraries: Python, libc, librdkafka.
    """

    loop: str = ""
    instructions: Counter[tuple[str, str]] = field(default_factory=Counter)
    calls: int = 0


def command(folder: Path) -> list[str]:
    """Return the command that runs a program, with its dumps in `folder`; nothing is counted before it says so."""
    # A file for each thread: what librdkafka's threads and a producer's service thread do meanwhile does not count.
    options = ["--instr-atstart=no", "--separate-threads=yes", f"--callgrind-out-file={folder}/out"]
    return ["valgrind", "--tool=callgrind", "--quiet", *options]


def profiles(folder: Path, package: Path) -> dict[str, Profile]:
    """Read what the first thread's dumps say of each loop."""
    found = (read(dump, package) for dump in folder.glob("out.*-01"))
    return {profile.loop: profile for profile in found}


def read(path: Path, package: Path) -> Profile:
    """Read one dump; `package` is the folder of the compiled modules that count."""
    profile = Profile()
    names: dict[tuple[str, str], str] = {}
    module = callee_module = function = ""
    is_callees_cost = False
    with path.open() as lines:
        for line in lines:
            if line[0].isdigit() or line[0] in "+-*":
                if is_callees_cost:
                    is_callees_cost = False
                elif module:
                    profile.instructions[module, function] += int(line.split()[1])
                continue
            if line.startswith(TRIGGER):
                profile.loop = line.removeprefix(TRIGGER).rstrip("\n")
            key, _, text = line.rstrip("\n").partition("=")
            if key in ("ob", "cob", "fn", "cfn"):
                kind = key[-2:]
                found = NAMED.match(text)
                number, name = found.groups() if found else (text, text)
                if name is not None:
                    names[kind, number] = name if kind == "fn" else _module(name, package)
                name = names[kind, number]
            if key == "ob":
                module = callee_module = name
            elif key == "fn":
                function, callee_module = name, module
            elif key == "cob":
                callee_module = name
            elif key == "calls":
                if module and not callee_module:
                    profile.calls += int(text.split()[0])
                callee_module, is_callees_cost = module, True
    return profile


def _module(library: str, package: Path) -> str:
    """Return the name of one of the package's modules, else nothing."""
    if not library.startswith(f"{package}/"):
        return ""
    return library.removeprefix(f"{package}/").partition(".")[0].replace("/", ".")
