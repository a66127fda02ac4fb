"""The last test of a release: ``pip install twolane[cli]`` from an index, and the pages that a newcomer reads first.

The index is our own, on the loopback interface, and holds all that is installed from it; the environment is empty.
"""

from __future__ import annotations

import functools
import http.server
import os
import re
import shlex
import shutil
import tarfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.packaging.building import PIP, run, say

# What runs a page, of the sdist: its pages too.
PROGRAM = ("tests/packaging/run_page.py", "tests/support/pages.py")
# Nothing of this machine's settings, so that what the index lacks is missing.
ALONE = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": "", "NO_PROXY": "127.0.0.1"}


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A folder's listing is what pip reads of an index (PEP 503)."""

    def log_message(self, *words: object) -> None:
        """Print nothing."""


@contextmanager
def index(files: Sequence[Path], folder: Path) -> Iterator[str]:
    """Serve wheels as an index, and yield its address."""
    for file in files:
        project = folder / "simple" / re.sub(r"[-_.]+", "-", file.name.partition("-")[0]).lower()
        project.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, project)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wanted(pages: Sequence[str]) -> list[str]:
    """Return what the pages say to install, from an index where they say from a clone."""
    lines = [line for page in pages for line in re.findall(r"^pip install (.*)$", page, re.M)]
    words = [word for line in lines for word in shlex.split(line)]
    return ["twolane[cli]", *(re.sub(r"^\.(?=$|\[)", "twolane", word) for word in words)]


def try_install(python: Path, wheel: Path, sdist: Path, folder: Path, pages: Sequence[str]) -> None:
    """Install the wheel by its name, with the command, then run the pages.

    Parameters
    ----------
    python : Path
        An interpreter with pip 25.1 or later.
    wheel, sdist : Path
    folder : Path
        An empty one.
    pages : list of str
        Their names in the sdist.
    """
    with tarfile.open(sdist) as archive:
        members = {member.name.partition("/")[2]: member for member in archive}
        for name in (*PROGRAM, *pages):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(archive.extractfile(members[name]).read())
    packages = wanted([(folder / page).read_text() for page in pages])
    # pip takes this version and no other, whatever else has the name.
    sources = [re.sub(r"^twolane(\[.*\])?$", rf"{wheel}\1", word) for word in packages]
    run([python, *PIP, "wheel", "--wheel-dir", folder / "files", *dict.fromkeys(sources)], folder)
    run([python, "-m", "venv", "--without-pip", folder / "venv"], folder)
    inside = folder / "venv" / "bin" / "python"
    with index(sorted((folder / "files").glob("*.whl")), folder / "index") as address:
        command = [python, *PIP, "--python", inside, "install", "--index-url", address, *dict.fromkeys(packages)]
        run(command, folder, **ALONE)
    say(f"pip install {' '.join(dict.fromkeys(packages))}, from an index")
    say(run([inside.with_name("twolane"), "about"], folder).splitlines()[0])
    for page in pages:
        say(run([inside, "-m", "tests.packaging.run_page", page], folder).rstrip())
