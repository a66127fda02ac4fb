"""Where a scene's records go."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.clusters import TOPIC_SETTINGS
from bench.tls import TlsListener
from bench.tuning.variants import EMBEDDED, TLS
from twolane.testing import EmbeddedCluster, KafkaCluster

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


@contextlib.contextmanager
def start(kind: str) -> Iterator[Place]:
    """Start a cluster of this kind."""
    with contextlib.ExitStack() as stack:
        if kind == EMBEDDED:
            embedded = stack.enter_context(EmbeddedCluster(brokers=3))
            yield Place(embedded, {"bootstrap.servers": embedded.bootstrap_servers})
        elif kind == TLS:
            tls = TlsListener.made_in(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twolane-tls-"))))
            cluster = stack.enter_context(KafkaCluster(jvm_options=(), **tls.arguments))
            address = cluster.address_of(tls.NAME)
            yield Place(cluster, {"bootstrap.servers": address, "ssl.ca.location": tls.ca})
        else:
            cluster = stack.enter_context(KafkaCluster(jvm_options=()))
            yield Place(cluster, {"bootstrap.servers": cluster.bootstrap_servers})
