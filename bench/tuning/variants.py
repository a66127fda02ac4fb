"""What is compared: scenes (where records go, and how), and variants, each one change to a scene."""

from __future__ import annotations

from dataclasses import dataclass, field

EMBEDDED, BROKERS, TLS = "embedded", "three brokers", "three brokers by TLS"
# Name, and the library's name for the dynamic linker.
ALLOCATORS = {"jemalloc": "jemalloc", "mimalloc": "mimalloc", "tcmalloc": "tcmalloc_minimal"}


@dataclass(frozen=True)
class Scene:
    """A cluster and the settings that all variants of it have."""

    name: str
    cluster: str
    settings: dict[str, str] = field(default_factory=dict)
    # Whether more than the allocators is tried.
    is_whole: bool = False


@dataclass(frozen=True)
class Variant:
    """One change; the first one of a scene is none at all."""

    name: str
    settings: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    preload: str = ""
    # Producers that share the records, each with a thread of its own; processors that the process may use (0: all).
    producers: int = 1
    processors: int = 0


SCENES = (
    Scene("embedded", EMBEDDED, is_whole=True),
    Scene("embedded, lz4", EMBEDDED, {"compression.type": "lz4"}),
    Scene("embedded, zstd", EMBEDDED, {"compression.type": "zstd"}),
    Scene("brokers", BROKERS, is_whole=True),
    Scene("brokers, zstd", BROKERS, {"compression.type": "zstd"}),
    Scene("brokers, TLS", TLS, {"security.protocol": "ssl"}),
)
MANY_RECORDS = {"batch.num.messages": "100000"}
BASE = Variant("as it is")
ALLOCATION = (
    *(Variant(name, preload=library) for name, library in ALLOCATORS.items()),
    Variant("tcache of 4 096 a size", environment={"GLIBC_TUNABLES": "glibc.malloc.tcache_count=4096"}),
    Variant("freed memory kept", environment={"MALLOC_TRIM_THRESHOLD_": "1073741824", "MALLOC_TOP_PAD_": "67108864"}),
    Variant("one arena", environment={"MALLOC_ARENA_MAX": "1"}),
)
OTHERS = (
    Variant("one processor", processors=1),
    Variant("two producers", producers=2),
    Variant("four producers", producers=4),
    Variant("send buffers of 1 MiB", {"socket.send.buffer.bytes": "1048576"}),
    Variant("send buffers of 4 MiB", {"socket.send.buffer.bytes": "4194304"}),
    Variant("Nagle's algorithm", {"socket.nagle.disable": "false"}),
    Variant("requests of 4 MB", {"batch.size": "4000000", "message.max.bytes": "4000000", **MANY_RECORDS}),
    Variant("no metrics for brokers", {"enable.metrics.push": "false"}),
    Variant("lz4", {"compression.type": "lz4"}),
    Variant("zstd, level 1", {"compression.type": "zstd", "compression.level": "1"}),
    Variant("zstd, level 3", {"compression.type": "zstd", "compression.level": "3"}),
    Variant("zstd, level 9", {"compression.type": "zstd", "compression.level": "9"}),
)  # fmt: skip


def of(scene: Scene) -> tuple[Variant, ...]:
    """Return a scene's variants, the unchanged one first."""
    return (BASE, *ALLOCATION, *(OTHERS if scene.is_whole else ()))
