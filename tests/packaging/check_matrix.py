"""The contract with confluent-kafka's releases, each in an environment of its own: ``make matrix``.

Those that are accepted carry records through both lanes and back; one that is too old is refused, by a message that
names what was found, what is accepted and how to get it. ``--tests`` also runs the embedded tests on the oldest one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.packaging.building import ROOT, environment, run, say
from twolane.client.locate import OLDEST, REQUIREMENT, version_text

TOO_OLD = "2.11.1"
# The oldest that is accepted, the last of each series since, and whatever is the newest today.
ACCEPTED = (
    REQUIREMENT.replace(">=", "=="),
    "confluent-kafka==2.13.2",
    "confluent-kafka==2.14.2",
    "confluent-kafka==2.15.1",
    "confluent-kafka",
)


def refused(python: Path) -> None:
    """Stop unless twolane refuses this environment's librdkafka in words that help."""
    command = [python, "-c", "from twolane import SafeProducer"]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False)
    message = done.stderr.strip().rpartition("\n")[2]
    wanted = ("LibraryError", f"librdkafka {TOO_OLD}", version_text(OLDEST), REQUIREMENT)
    if not done.returncode or [word for word in wanted if word not in message]:
        sys.exit(f"confluent-kafka {TOO_OLD} should be refused: {done.stderr or 'it was not'}")
    say(f"confluent-kafka {TOO_OLD} is refused: {message}")


def main() -> None:
    """Read the arguments and try the releases one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", action="store_true", help="the embedded tests too, on the oldest release")
    parser.add_argument("--ends", action="store_true", help="only the oldest and the newest release, and one too old")
    options = parser.parse_args()
    accepted = [ACCEPTED[0], ACCEPTED[-1]] if options.ends else ACCEPTED
    with tempfile.TemporaryDirectory(prefix="twolane-matrix-") as name:
        python = environment(Path(sys.executable), Path(name) / "old", f"confluent-kafka=={TOO_OLD}", "numpy")
        refused(python)
        for number, release in enumerate(accepted):
            python = environment(Path(sys.executable), Path(name) / str(number), release, "numpy")
            say(run([python, "-m", "tests.packaging.round_trip"], ROOT, PYTHONPATH=f"{ROOT / 'src'}:{ROOT}").strip())
            if options.tests and not number:
                groups = ["--group", f"{ROOT / 'pyproject.toml'}:test", "--group", f"{ROOT / 'pyproject.toml'}:demo"]
                run([python, "-m", "pip", "install", "--quiet", release, *groups], ROOT)
                command = [python, "-m", "pytest", "-q", "-m", "not cluster", "-p", "no:cacheprovider"]
                say(run(command, ROOT).rstrip().rpartition("\n")[2])


if __name__ == "__main__":
    main()
