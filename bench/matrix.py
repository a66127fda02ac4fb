"""What is measured, as data: the axes, the combinations that mean nothing (each with its reason), the presets.

The matrix is acks x in-flight x idempotence x lane x round-trip time x batch x compression. Most of its combinations
are void: a lane fixes a setting, librdkafka overrules one, or the cluster cannot show the effect. `void` says which and
why, and nothing else decides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import product
from typing import TYPE_CHECKING, Any

from bench.clusters import EMBEDDED, OWN
from bench.lanes import BATCH, SAFE_BATCH, SAFE_SEND
from bench.peers import GO, JAVA, PRODUCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bench.contender import Contender

PIPELINE, WAIT = "pipeline", "wait"
SAFE = (SAFE_SEND, SAFE_BATCH)

# The lanes of the matrix: contender and mode. The last one is what a waiting caller gets from the guarantees that the
# safe lane does not offer.
LANES = {
    "send loop": (SAFE_SEND, WAIT),
    "send_batch": (SAFE_BATCH, WAIT),
    "throughput": (BATCH, PIPELINE),
    "throughput, waiting": (BATCH, WAIT),
}
ACKS = ("0", "1", "all")
IN_FLIGHT = (1, 5, None)
IDEMPOTENCE = (False, True)
RTT_MS = (0, 1, 5, 20)
BATCH_RECORDS = (1, 100, 10_000)
COMPRESSION = ("none", "gzip", "snappy", "lz4", "zstd")
# One for each of three brokers: every connection is used.
PEER_PARTITIONS = 3
# Who compresses and encrypts by code of its own: librdkafka, from twolane and from Python, Go, Java.
CODERS = (BATCH, PRODUCE, GO, JAVA)


@dataclass(frozen=True)
class Case:
    """One combination: what is run, and what is asked of it.

    Attributes
    ----------
    contender, mode, data, acks, in_flight, idempotence, compression
        As in `bench.contender.Task`.
    rtt_ms : int
    batch : int
        Records of a call in mode "wait"; at most so many of a request and partition in mode "pipeline".
    partitions : int
        1 in the matrix: a pipeline of one partition is what order costs. Several partitions multiply it.
    size : int
        Bytes of a value; not for ``data`` = "avro".
    tls : bool
        Whether the connections are encrypted.
    """

    contender: str
    mode: str = PIPELINE
    acks: str = "all"
    in_flight: int | None = None
    idempotence: bool = False
    rtt_ms: int = 0
    batch: int = 10_000
    compression: str = "none"
    partitions: int = 1
    size: int = 100
    data: str = "bytes"
    tls: bool = False

    @property
    def guarantee(self) -> str:
        """The settings that a user who wants a guarantee chooses."""
        in_flight = "default" if self.in_flight is None else self.in_flight
        return f"acks={self.acks} in-flight={in_flight} idempotence={'on' if self.idempotence else 'off'}"

    @property
    def name(self) -> str:
        """Every axis in one line: what patterns are matched with, and the name in the JSON."""
        data = self.data if self.data != "bytes" else f"{self.size}B"
        return (
            f"{self.contender} ({self.mode}) {self.guarantee} rtt={self.rtt_ms}ms batch={self.batch} "
            f"{self.compression} {data} partitions={self.partitions}{' TLS' if self.tls else ''}"
        )

    @property
    def calls_of(self) -> int:
        """Records of one call."""
        return self.batch if self.mode == WAIT else 10_000


def _is_safe(case: Case) -> bool:
    return case.contender in SAFE


# Reason -> of which combinations it is true. `kind` is a cluster's.
_VOID: tuple[tuple[str, Callable[[Case, str], bool]], ...] = (
    ("the safe lane is acks=all", lambda c, _: _is_safe(c) and c.acks != "all"),
    ("the safe lane has one request in flight", lambda c, _: _is_safe(c) and c.in_flight != 1),
    ("send() takes one record", lambda c, _: c.contender == SAFE_SEND and c.batch != 1),
    ("idempotence needs acks=all", lambda c, _: c.idempotence and c.acks != "all"),
    ("with idempotence the default is 5 in flight", lambda c, _: c.idempotence and c.in_flight is None),
    (
        "with acks=0 no answer comes that a request could wait for: in-flight limits and round trips do not count",
        lambda c, _: c.acks == "0" and (c.in_flight is not None or c.rtt_ms > 0),
    ),
    (
        "a caller who waits for every call has one request in flight anyway",
        lambda c, _: c.contender == BATCH and c.mode == WAIT and c.in_flight != 1 and c.acks != "0",
    ),
    (
        "the embedded cluster does not replicate: acks=all costs nothing there, and the price of acks=0 and acks=1 is "
        "a difference from it",
        lambda c, kind: kind == EMBEDDED and not _is_safe(c) and c.acks != "1",
    ),
    (
        "the embedded cluster does not deduplicate: idempotence is priced on real brokers",
        lambda c, kind: kind == EMBEDDED and _is_safe(c) and not c.idempotence,
    ),
)


def void(case: Case, kind: str, *, has_delay: bool = True) -> str | None:
    """Return why a combination means nothing on a kind of cluster, or None."""
    for reason, is_true in _VOID:
        if is_true(case, kind):
            return reason
    if case.tls and kind != OWN:
        return "only brokers of the suite's own are known to take TLS"
    if case.rtt_ms and not has_delay:
        return "nothing here can change the round-trip time"
    return None


def matrix(**fixed: Any) -> Iterator[Case]:
    """Give all combinations, the void ones too; an axis that is named has only that value (or those of a tuple)."""
    axes: dict[str, Iterable[Any]] = {
        "acks": ACKS,
        "in_flight": IN_FLIGHT,
        "idempotence": IDEMPOTENCE,
        "lane": LANES,
        "rtt_ms": RTT_MS,
        "batch": BATCH_RECORDS,
        "compression": COMPRESSION,
    }
    axes |= {name: value if isinstance(value, tuple) else (value,) for name, value in fixed.items()}
    for values in product(*axes.values()):
        given = dict(zip(axes, values, strict=True))
        contender, mode = LANES[given.pop("lane")]
        yield Case(contender, mode, **given)


def _peers(contenders: Iterable[Contender], kind: str) -> Iterator[Case]:
    """Give everybody the same records and, where it can, the same guarantee."""
    for contender in contenders:
        if kind == EMBEDDED and not contender.on_embedded:
            continue
        for mode, data in product(contender.modes, contender.data):
            alone = mode == WAIT
            safe = contender.name in SAFE
            case = Case(
                contender.name,
                mode,
                acks="all" if safe or kind != EMBEDDED else "1",
                in_flight=1 if alone or safe else None,
                idempotence=safe,
                batch=1 if alone and contender.name != SAFE_BATCH else 10_000,
                partitions=1 if alone else PEER_PARTITIONS,
                data=data,
            )
            # Waiting with Avro tells nothing that waiting with bytes does not.
            if not alone or data == "bytes":
                yield case


def _growth() -> Iterator[Case]:
    """Give the record sizes; the batch sizes are in the matrix."""
    for size in (10, 100, 1_000, 10_000):
        yield Case(BATCH, PIPELINE, acks="1", size=size)
        yield Case(BATCH, PIPELINE, size=size)
        yield Case(SAFE_BATCH, WAIT, in_flight=1, idempotence=True, size=size)


def _compression(kind: str) -> Iterator[Case]:
    """Give every codec where it can matter: full requests, near and far."""
    both: dict[str, Any] = {"batch": 10_000, "rtt_ms": (0, 5)}
    yield from matrix(lane="send_batch", idempotence=True, in_flight=1, **both)
    acks = "1" if kind == EMBEDDED else "all"
    yield from matrix(lane="throughput", idempotence=False, in_flight=None, acks=acks, **both)


def _coded(peers: Iterable[Case]) -> Iterator[Case]:
    """Give what compresses and encrypts the codecs and TLS, each alone."""
    for case in peers:
        if case.contender in CODERS and case.mode == PIPELINE and case.data == "bytes":
            yield from (replace(case, compression=codec) for codec in ("lz4", "zstd"))
            yield replace(case, tls=True)


def preset(name: str, contenders: Iterable[Contender], kind: str, *, has_delay: bool = True) -> list[Case]:
    """Return the cases of a preset that mean something.

    Parameters
    ----------
    name : {"quick", "peers", "price", "all"}
        "price" is the price list: the matrix without compression, codecs where they can matter, record sizes, peers.
        "all" is the whole matrix and the peers; it takes hours.
    contenders : iterable of Contender
    kind : str
        Of cluster.
    has_delay : bool
    """
    peers = list(_peers(contenders, kind))
    price = [*matrix(compression="none"), *_compression(kind), *_growth()]
    cases = {
        "quick": [*matrix(compression="none", batch=(1, 100), rtt_ms=(0, 5)), *peers],
        "peers": [*peers, *_coded(peers)],
        "price": [*peers, *_coded(peers), *price],
        "all": [*peers, *_coded(peers), *_growth(), *matrix()],
    }[name]
    return [case for case in dict.fromkeys(cases) if void(case, kind, has_delay=has_delay) is None]


def choose(cases: Iterable[Case], patterns: Iterable[str]) -> list[Case]:
    """Return the cases that match every pattern: shell wildcards over the whole name, or a part of it."""
    wanted = [pattern if set(pattern) & set("*?[") else f"*{pattern}*" for pattern in patterns]
    return [case for case in cases if all(fnmatchcase(case.name.lower(), one.lower()) for one in wanted)]
