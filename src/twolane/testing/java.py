"""Apache Kafka's jars, by Maven, and the command lines that run them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from twolane.testing.errors import ClusterError, ClusterUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KAFKA_VERSION = "4.3.1"
LOG4J_VERSION = "2.25.4"
SCALA_VERSION = "2.13"
COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
DOWNLOAD_SECONDS = 600
TOOL_SECONDS = 60

# kafka_2.13 is the broker, kafka-tools the console consumer and its kin; without the binding slf4j would say nothing.
POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>twolane.testing</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_{scala}</artifactId>
      <version>{kafka}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka-tools</artifactId>
      <version>{kafka}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>{log4j}</version>
    </dependency>
  </dependencies>
</project>
"""


def cache_folder() -> Path:
    """Return where jars are kept between runs: ``$XDG_CACHE_HOME/twolane``, else ``~/.cache/twolane``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twolane"


def find_program(name: str, purpose: str = "real brokers") -> str:
    """Return the path of ``java`` or ``mvn``; `ClusterUnavailableError`, naming `purpose`, where it is missing."""
    home = os.environ.get("JAVA_HOME")
    path = shutil.which(name, path=str(Path(home, "bin"))) if home else None
    path = path or shutil.which(name)
    if path is None:
        raise ClusterUnavailableError(f"{purpose} need {name!r}, which is not installed (Java 17 or newer, Maven)")
    return path


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time in; the kernel takes the lock back however the process ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _pom(version: str) -> str:
    return POM.format(scala=SCALA_VERSION, kafka=version, log4j=LOG4J_VERSION)


def kafka_jars_folder(version: str = KAFKA_VERSION) -> Path:
    """Return the folder that holds, or will hold, Kafka and all it needs."""
    # The digest, so that a changed list of artifacts is not served from an older folder of the same version.
    return cache_folder() / f"kafka-{version}-{hashlib.sha256(_pom(version).encode()).hexdigest()[:8]}"


def kafka_jars(version: str = KAFKA_VERSION) -> Path:
    """Return the folder that holds Kafka and all it needs; the first call downloads about 55 MB.

    Parameters
    ----------
    version : str, optional
        Of ``org.apache.kafka``.

    Raises
    ------
    ClusterUnavailableError
        They are not there yet, and Maven is not installed.
    ClusterError
        Maven failed; the message holds what it said.
    """
    return fetched_jars(kafka_jars_folder(version), _pom(version))


def fetched_jars(folder: Path, pom: str, purpose: str = "real brokers") -> Path:
    """Return `folder`, filled by Maven with what `pom` depends on if it is not there yet. Errors as of `kafka_jars`."""
    if folder.is_dir():
        return folder
    maven = find_program("mvn", purpose)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            _download(maven, pom, folder)
    return folder


def _download(maven: str, pom: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        Path(work, "pom.xml").write_text(pom)
        command = [
            maven,
            "--batch-mode",
            "--quiet",
            "--file",
            f"{work}/pom.xml",
            COPY_GOAL,
            f"-DoutputDirectory={work}/jars",
        ]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"Maven did not fetch {folder.name} within {DOWNLOAD_SECONDS} s") from error
        if done.returncode:
            raise ClusterError(f"Maven could not fetch {folder.name}:\n{(done.stdout + done.stderr)[-4000:]}")
        # Complete or absent: the folder appears by one rename.
        Path(work, "jars").rename(folder)


def java_command(jars: Path, main_class: str, arguments: Sequence[str], options: Sequence[str] = ()) -> list[str]:
    """Return the command line that runs one main class out of `jars`."""
    return [find_program("java"), *options, "-cp", f"{jars}/*", main_class, *arguments]


def run_tool(jars: Path, main_class: str, arguments: Sequence[str], timeout: float = TOOL_SECONDS) -> str:
    """Run one of Kafka's command-line tools and return its standard output.

    Raises
    ------
    ClusterError
        It failed or took more than `timeout` seconds.
    """
    # First-tier compilation only: a tool lives for two seconds.
    options = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    command = java_command(jars, main_class, arguments, options)
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{main_class} took more than {timeout} s") from error
    if done.returncode:
        raise ClusterError(f"{main_class} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout
