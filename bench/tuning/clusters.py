"""Where a scene's records go."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.clusters import TOPIC_SETTINGS
from bench.peers import delay
from bench.tuning.variants import EMBEDDED, TLS
from twolane.testing import EmbeddedCluster, KafkaCluster
from twolane.testing.broker import HOST

PARTITIONS = 12
# Of the largest request that is tried.
MAX_MESSAGE_BYTES = 16_000_000


@dataclass(frozen=True)
class Place:
    """A cluster that runs, and what a client needs to reach it."""

    cluster: EmbeddedCluster | KafkaCluster
    settings: dict[str, str]

    @contextlib.contextmanager
    def topic(self, name: str) -> Iterator[str]:
        """Make a topic, and delete it where it would fill a disk."""
        if isinstance(self.cluster, EmbeddedCluster):
            self.cluster.create_topic(name, partitions=PARTITIONS)
            yield name
            return
        config = {**TOPIC_SETTINGS, "max.message.bytes": MAX_MESSAGE_BYTES}
        self.cluster.create_topic(name, partitions=PARTITIONS, config=config)
        yield name
        self.cluster.delete_topic(name)


def certificate(folder: Path) -> Path:
    """Make a key and a certificate for this machine's own address, in one PEM file."""
    key, file = folder / "key.pem", folder / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", file, "-days", "2"]
    extra = ["-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{HOST},DNS:localhost"]
    subprocess.run([*command, *extra], check=True, capture_output=True)
    file.write_text(key.read_text() + file.read_text())
    return file


@contextlib.contextmanager
def start(kind: str) -> Iterator[Place]:
    """Start a cluster of this kind; brokers with TLS have a proxy in front, which the clear ones have not."""
    with contextlib.ExitStack() as stack:
        if kind == EMBEDDED:
            embedded = stack.enter_context(EmbeddedCluster(brokers=3))
            yield Place(embedded, {"bootstrap.servers": embedded.bootstrap_servers})
        elif kind == TLS:
            pem = certificate(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twolane-tls-"))))
            config = {
                "listener.security.protocol.map": "CLIENT:PLAINTEXT,PROXIED:SSL,CONTROLLER:PLAINTEXT",
                "listener.name.proxied.ssl.keystore.type": "PEM",
                "listener.name.proxied.ssl.keystore.location": str(pem),
            }
            cluster = stack.enter_context(KafkaCluster(jvm_options=(), config=config))
            proxy = stack.enter_context(delay.DelayingProxy(cluster.proxied))
            yield Place(cluster, {"bootstrap.servers": proxy.bootstrap_servers, "ssl.ca.location": str(pem)})
        else:
            cluster = stack.enter_context(KafkaCluster(jvm_options=()))
            yield Place(cluster, {"bootstrap.servers": cluster.bootstrap_servers})


def missing(kind: str) -> str | None:
    """Return what a kind of cluster lacks here."""
    return delay.missing() if kind == TLS else None
