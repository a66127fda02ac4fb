"""Java's libraries of Avro and Protobuf, and its DataInput, as readers of our records: one JVM for a run of tests."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tests.support.processes import plain_environment
from twolane.testing.java import cache_folder, fetched_jars, find_program

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

AVRO_VERSION, PROTOBUF_VERSION = "1.12.1", "4.31.1"
PURPOSE = "Java's readers"
SOURCE = Path(__file__).parent / "java" / "Reader.java"
POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>twolane.testing</groupId>
  <artifactId>readers</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.avro</groupId>
      <artifactId>avro</artifactId>
      <version>{AVRO_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>com.google.protobuf</groupId>
      <artifactId>protobuf-java</artifactId>
      <version>{PROTOBUF_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-nop</artifactId>
      <version>2.0.17</version>
    </dependency>
  </dependencies>
</project>
"""


class Read(NamedTuple):
    """One record as Java read it: Avro's JSON encoding of the value, and Java's own binary encoding of it."""

    value: Any
    again: bytes


class JavaReader:
    """A child JVM that answers questions; see Reader.java. `ClusterUnavailableError` without a JDK or Maven."""

    def __init__(self) -> None:
        find_program("javac", PURPOSE)  # java runs the source file, which a bare run-time environment cannot compile
        digest = hashlib.sha256(POM.encode()).hexdigest()[:8]
        jars = fetched_jars(cache_folder() / f"readers-{digest}", POM, PURPOSE)
        # First-tier compilation: most of what the JVM does is to compile Reader.java, once.
        options = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        self._process = subprocess.Popen(
            [find_program("java", PURPOSE), *options, "-cp", f"{jars}/*", str(SOURCE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=plain_environment(),
        )

    def _block(self, size: int) -> bytes:
        data = self._process.stdout.read(size)
        assert len(data) == size, "the JVM ended"
        return data

    def _answer(self) -> bytes:
        (size,) = struct.unpack(">i", self._block(4))
        assert size >= 0, f"Java cannot read it: {self._answer().decode()}"
        return self._block(size)

    def _ask(self, kind: bytes, text: str, records: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
        blocks = [struct.pack(">i", len(block)) + block for block in (text.encode(), *records)]
        question = kind + blocks[0] + struct.pack(">i", len(records)) + b"".join(blocks[1:])
        self._process.stdin.write(question)
        self._process.stdin.flush()
        return [(self._answer(), self._answer()) for _ in records]

    def avro(self, schema: Any, records: Sequence[bytes]) -> list[Read]:
        """Read records with Apache's library, without logical types."""
        answers = self._ask(b"A", json.dumps(schema), records)
        # Avro's JSON encoder writes nothing for a record without fields.
        return [Read(json.loads(value or b"{}"), again) for value, again in answers]

    def lenient(self, schema: Any, records: Sequence[bytes]) -> list[Read]:
        """Do as `avro`, with a parser that takes any names."""
        return [Read(json.loads(value), again) for value, again in self._ask(b"N", json.dumps(schema), records)]

    def protobuf(self, descriptor: Any, records: Sequence[bytes]) -> list[bytes]:
        """Read records with Google's library, by a descriptor; return how Java writes what it read."""
        from twolane.encoding.protobuf.descriptors import descriptor_set  # every test has this module, not the extra

        text = f"{descriptor.full_name} {base64.b64encode(descriptor_set(descriptor)).decode()}"
        return [again for _, again in self._ask(b"P", text, records)]

    def fields(self, codes: Sequence[str], records: Sequence[bytes]) -> list[list[str]]:
        """Read records with DataInput: codes of the struct module, ``s5`` instead of ``5s``; values as text."""
        return [value.decode().split(",") for value, _ in self._ask(b"S", ",".join(codes), records)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not terminated while it answers: a test that failed in the middle leaves answers unread.
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)
