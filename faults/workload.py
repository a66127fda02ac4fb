"""What one client process does in a round, and what was done to it: the two sides of a check, as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Self


class _Json:
    """To and from JSON, for dataclasses of plain values."""

    def to_json(self) -> str:
        """Return the fields as one line."""
        return json.dumps(asdict(self))  # type: ignore[call-overload]

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what `to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Workload(_Json):
    """Orders for ``python -m faults.client``, and what its history is held to.

    Attributes
    ----------
    lane : {"safe", "throughput"}
    front : {"sync", "asyncio"}
    batch : int
        Records of a call; 1 is ``send()``.
    history_path : str
        Appended to, so that a client that is started again goes on with it, under another `epoch`.
    records_per_second : int, optional
        As fast as it goes by default.
    epoch : int
        Raised by whoever starts a killed client again. A client adds a thousandth of its own for each new producer.
    behaviour : {"plain", "fork", "raising_callbacks", "cycles"}
        What the program does beside sending: fork children, raise in every tenth callback, make and close producers.
    config : dict
        More settings of the producer, with underscores. They win over the fields here: a control says what it is held
        to in the fields, and breaks it in `config`.
    call : {"", "send", "submit", "send_batch"}
        "" chooses by `batch`. On the throughput lane "send" has a callback.
    streams : int
        Threads or tasks that share the producer. Each is a producer of its own to the checkers: order holds within one.
    size : int
        Bytes of a value.
    keys, headers : bool
        Records have them too, and they are checked.
    timeout : float
        Seconds, of each call; ``message_timeout_ms`` is in `config`.
    oversize_every : int
        Each so many-th batch has one record that the brokers refuse for its size (``max.message.bytes`` of the topic).
    abort_every : int
        Each so many-th transaction is aborted on purpose.
    records : int, optional
        The client ends by itself after so many.
    mutant : {"", "swap", "lose", "offset"}
        What the client does to its own history, once: the checkers must see it.
    peer : {"", "confluent", "java"}
        Whose producer sends: twolane's, or confluent-kafka's or Kafka's own for comparison.
    """

    lane: str
    front: str
    idempotence: bool
    transactional: bool
    batch: int
    partitions: int
    topic: str
    bootstrap: str
    seed: int
    history_path: str
    records_per_second: int | None = None
    epoch: int = 0
    behaviour: str = "plain"
    config: dict[str, Any] = field(default_factory=dict)
    call: str = ""
    streams: int = 1
    size: int = 112
    keys: bool = False
    headers: bool = False
    timeout: float = 10.0
    oversize_every: int = 0
    abort_every: int = 0
    records: int | None = None
    mutant: str = ""
    peer: str = ""

    @property
    def method(self) -> str:
        """Name of the method that sends."""
        return self.call or ("send" if self.batch == 1 else "send_batch")

    @property
    def settings(self) -> dict[str, Any]:
        """Return the producer's settings, with underscores."""
        fields: dict[str, Any] = {"bootstrap_servers": self.bootstrap, "enable_idempotence": self.idempotence}
        if self.transactional:
            fields["transactional_id"] = f"{self.topic}-{self.seed}"
        return {**fields, **self.config}


@dataclass
class RoundFacts(_Json):
    """What was done to a round; times are those of ``time.monotonic()``, which is the same in all processes.

    Attributes
    ----------
    fault : str
    injected_at, healed_at : float
    duplicates_allowed : bool
        Beyond what the workload's own settings allow.
    traffic_expected : bool
        Acknowledgements go on while the fault lasts.
    is_killed : bool
        The client was killed: records may be without verdicts.
    log_gone_before : float, optional
        The topic was deleted and made again: what was invoked before this time need not be in the log.
    may_run_late : bool
        The client itself was stopped: no time bound.
    """

    fault: str = "none"
    injected_at: float = 0.0
    healed_at: float = 0.0
    duplicates_allowed: bool = False
    traffic_expected: bool = True
    is_killed: bool = False
    log_gone_before: float | None = None
    may_run_late: bool = False
