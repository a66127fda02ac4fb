"""The contender in Java: compiled once with Kafka's jars, which the test brokers come from too."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path

from twolane.testing import ClusterUnavailableError
from twolane.testing.java import cache_folder, find_program, java_command, kafka_jars, kafka_jars_folder

SOURCE = Path(__file__).with_name("java") / "Contender.java"
MAIN = SOURCE.stem
COMPILE_SECONDS = 120
# As a service would run: a heap that does not grow any more, the machine's default collector, no metrics file.
OPTIONS = ("-Xms512m", "-Xmx512m", "-XX:-UsePerfData")


def missing() -> str | None:
    """Return why the Java client cannot run here, else None."""
    needed = ["java", "javac"] + ([] if kafka_jars_folder().is_dir() else ["mvn"])
    for program in needed:
        try:
            find_program(program)
        except ClusterUnavailableError:
            return f"no Java ({program} is not installed)"
    return None


def build() -> Path:
    """Return the folder of the compiled contender; it is compiled once for each state of its source."""
    jars = kafka_jars()
    digest = hashlib.sha256(SOURCE.read_bytes() + jars.name.encode()).hexdigest()[:12]
    folder = cache_folder() / "java" / digest
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        classes = Path(work, "classes")
        command = [find_program("javac"), "-Xlint:all", "-cp", f"{jars}/*", "-d", str(classes), str(SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
        if done.returncode:
            raise RuntimeError(f"javac could not compile {SOURCE.name}: {done.stderr.strip()[-2000:]}")
        # Complete or absent; where two compile at once, the first one's stays.
        if not folder.is_dir():
            classes.rename(folder)
    return folder


def command() -> list[str]:
    """Return the command of the contender, without its task."""
    # The wildcard of the class path is for jars; a folder of classes comes before it.
    java, *rest = java_command(kafka_jars(), MAIN, (), OPTIONS)
    place = rest.index("-cp") + 1
    rest[place] = f"{build()}:{rest[place]}"
    return [java, *rest]
