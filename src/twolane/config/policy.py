"""Settings of the two lanes as data: what each fixes, allows and refuses, and why.

Users write librdkafka's dotted names; keyword arguments with underscores mean the same. What a value may be is
librdkafka's to say (it refuses what it does not know when the client is made); what a *lane* allows is said here.
"""

from __future__ import annotations

import difflib
import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twolane.config.known import ALIASES, FILES, KNOWN, OUTSIDE
from twolane.config.masking import Native, masked
from twolane.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

BOOTSTRAP = "bootstrap.servers"
BOOTSTRAP_ENVIRONMENT = "KAFKA_BOOTSTRAP_SERVERS"
_TRUE, _FALSE = ("true", "t", "1", "yes"), ("false", "f", "0", "no")


@dataclass(frozen=True)
class Rule:
    """Which values of a setting a lane takes, and why no others."""

    allowed: Callable[[str], bool]
    why: str


@dataclass(frozen=True)
class ProducerPolicy:
    """One lane's policy.

    Attributes
    ----------
    name : str
        As in error messages.
    defaults : mapping
        librdkafka's name to value, where the lane's default differs from librdkafka's or must not drift with it.
    rules : mapping
        Settings of which only some values are taken.
    refused : mapping
        Settings that are not taken at all, with the reason.
    """

    name: str
    defaults: Mapping[str, str]
    rules: Mapping[str, Rule] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


def _one_of(*values: str) -> Callable[[str], bool]:
    return lambda value: value.strip().lower() in values


def _at_least(low: int, high: int = 2**31 - 1) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        try:
            return low <= int(value) <= high
        except ValueError:
            return False

    return check


# Neither lane can work with these: the library takes the place of what they set up.
_NOT_OURS = {
    "delivery.report.only.error": "every record's report is counted",
    "enabled_events": "the library reads events itself",
    "log.queue": "logs go to Python's logging, logger 'twolane'",
    "produce.offset.report": "offsets are always reported",
    "queuing.strategy": "only fifo keeps the order of the records",
    "msg_order_cmp": "only fifo keeps the order of the records",
    "enable.gapless.guarantee": "it does not hold once retries are exhausted; SafeProducer.send_batch() gives prefixes",
    "socket.max.fails": "a connection whose answers are lost must not be used on",
    "plugin.library.paths": "it loads shared objects into the process",
    "sasl.kerberos.kinit.cmd": "it has a shell run a command; renew the ticket outside of the process",
    "ssl.engine.location": "it loads shared objects into the process",
    "ssl.providers": "it loads shared objects into the process",
    "opaque": "the library keeps its own",
    "internal.termination.signal": "signals belong to the application",
    "dr_cb": "use on_delivery of send(), or the returned delivery",
    "dr_msg_cb": "use on_delivery of send(), or the returned delivery",
}

# For librdkafka: the lanes bound what is inside it (safe: a MessageSet a partition; throughput: ProduceBuffer).
UNLIMITED = {"queue.buffering.max.messages": "0", "queue.buffering.max.kbytes": "2147483647"}

_COMMON = {
    "log.queue": "true",
    "log.connection.close": "false",
    "enable.metrics.push": "false",
    "socket.nagle.disable": "true",
    "socket.keepalive.enable": "true",
    **UNLIMITED,
}

SAFE = ProducerPolicy(
    name="SafeProducer",
    defaults={
        **_COMMON,
        "acks": "all",
        "retries": "3",
        "max.in.flight.requests.per.connection": "1",
        "enable.idempotence": "true",
        # Three retries with librdkafka's 100 ms back-off are 0.7 s of patience, less than any leader election.
        # 1 s + 2 s + 4 s (each +-20 %) outlive a controlled one several times; after a crash librdkafka waits for the
        # new leader without counting retries.
        "retry.backoff.ms": "1000",
        "retry.backoff.max.ms": "4000",
        "message.timeout.ms": "30000",
        "request.timeout.ms": "15000",
        "linger.ms": "0",
        "batch.num.messages": "100000",
        "batch.size": "1000000",
        "message.max.bytes": "1000000",
        "partitioner": "murmur2_random",
    },
    rules={
        "acks": Rule(_one_of("all", "-1"), "only acks=all survives the loss of a leader"),
        "max.in.flight.requests.per.connection": Rule(
            _one_of("1"), "more than one request in flight lets a later record overtake an earlier one's retry"
        ),
        "retries": Rule(_at_least(0), "a number of retries"),
        "linger.ms": Rule(_one_of("0", "0.0"), "a caller waits for each send(); nothing is gained by lingering"),
        "queue.buffering.backpressure.threshold": Rule(_one_of("1"), "one request at a time"),
    },
    refused=_NOT_OURS
    | {
        "queue.buffering.max.messages": "the lane holds one MessageSet per partition",
        "queue.buffering.max.kbytes": "the lane holds one MessageSet per partition; batch.size bounds it",
    },
)

THROUGHPUT = ProducerPolicy(
    name="ThroughputProducer",
    defaults={
        **_COMMON,
        # The buffer: some batches of 10 000 for each of many partitions, in at most a gibibyte.
        "queue.buffering.max.messages": "500000",
        "queue.buffering.max.kbytes": "1048576",
        "acks": "all",
        "enable.idempotence": "false",
        "linger.ms": "5",
        "batch.num.messages": "10000",
        "batch.size": "1000000",
        "message.max.bytes": "1000000",
        "message.timeout.ms": "300000",
        "partitioner": "murmur2_random",
    },
    rules={
        "queue.buffering.max.messages": Rule(_at_least(1), "the window holds at least one record"),
        "queue.buffering.max.kbytes": Rule(_at_least(1), "the window holds at least one kilobyte"),
    },
    refused=_NOT_OURS,
)

# Partitioners the library computes itself, so that every record goes out with an explicit partition.
PARTITIONERS = ("murmur2_random", "murmur2", "consistent_random", "consistent", "fnv1a_random", "fnv1a", "random")


@dataclass(frozen=True)
class Settings:
    """A checked configuration.

    Attributes
    ----------
    native : Native
        What librdkafka is given; secrets stand in it.
    shown : dict of str to str
        The same without secrets, for ``repr`` and logs.
    given : dict of str to str
        What the user set, after aliases; secrets masked.
    insecure : tuple of str
        What ``allow_insecure=True`` let pass.
    """

    native: Native = field(repr=False)
    shown: dict[str, str]
    given: dict[str, str]
    insecure: tuple[str, ...] = ()

    def number(self, key: str) -> int:
        """Return a numeric setting."""
        try:
            return int(self.native[key])
        except ValueError:
            raise ConfigError(f"{key}: expected a whole number, got {self.native[key]!r}", key=key) from None

    def connection(self) -> dict[str, str]:
        """Return the settings that another client of the same cluster needs, secrets included."""
        return connection(self.native)

    def flag(self, key: str) -> bool:
        """Return a boolean setting."""
        return self.native[key].strip().lower() in _TRUE


def _text(key: str, value: Any) -> str:
    """Return a Python value as librdkafka writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = str.__str__(value)
    elif isinstance(value, (int, float)):
        text = str(value)
    elif isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
        text = ",".join(value)
    else:
        raise ConfigError(
            f"{key}: expected a string, number, boolean or list of strings, got {type(value).__name__}", key=key
        )
    if "\0" in text:
        raise ConfigError(f"{key}: holds a NUL character", key=key)
    if not _is_utf8(text):
        raise ConfigError(f"{key}: holds a lone surrogate, which has no UTF-8", key=key)
    return text


def _is_utf8(text: str) -> bool:
    # An exception raised in the clause would show what the text is, as its context.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _canonical(key: Any, lane: ProducerPolicy) -> str:
    """Return librdkafka's own name of a setting, or say what was probably meant."""
    if not isinstance(key, str):
        raise ConfigError(f"setting names are strings, got {type(key).__name__}")
    name = ALIASES.get(key, key)
    if name in KNOWN:
        return name
    if key.startswith(("test.mock.", "ut_")):
        raise ConfigError(f"{key}: for tests use twolane.testing.EmbeddedCluster", key=key)
    if key in OUTSIDE:
        raise ConfigError(f"{key}: {OUTSIDE[key]}", key=key)
    close = difflib.get_close_matches(key, [*KNOWN, *ALIASES], n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
    raise ConfigError(f"unknown setting {key!r} for {lane.name}{hint}", key=key)


def settings_for(
    lane: ProducerPolicy,
    config: Mapping[str, Any] | None,
    keywords: Mapping[str, Any],
    *,
    allow_insecure: bool = False,
    has_oauth_cb: bool = False,
) -> Settings:
    """Merge what the user gave with the lane's policy.

    Parameters
    ----------
    lane : ProducerPolicy
    config : mapping, optional
        Dotted names.
    keywords : mapping
        The same names with underscores for dots.
    allow_insecure : bool, default False
        Allow settings that give secrets to any listener: for development.
    has_oauth_cb : bool, default False
        Whether a callback brings tokens.

    Raises
    ------
    ConfigError
        Unknown name (with what was probably meant), a name given twice, a value the lane refuses, no
        ``bootstrap.servers``, a file that does not exist, a login that cannot work or would give secrets away.
    """
    given: dict[str, str] = {}
    pairs = [(key, value) for key, value in (config or {}).items()]
    pairs += [(_dotted(key), value) for key, value in keywords.items()]
    for key, value in pairs:
        name = _canonical(key, lane)
        if value is None:
            continue
        if name in given:
            raise ConfigError(f"{name} is set twice", key=name)
        text = _text(name, value)
        _check(lane, name, text)
        given[name] = text
    if not given.get(BOOTSTRAP, "x").strip(" ,"):
        raise ConfigError(f"{BOOTSTRAP} is empty: expected host:port, or several with commas between", key=BOOTSTRAP)
    if BOOTSTRAP not in given:
        environment = os.environ.get(BOOTSTRAP_ENVIRONMENT, "")
        if not environment:
            raise ConfigError(f"{BOOTSTRAP} is missing (and {BOOTSTRAP_ENVIRONMENT} is not set)", key=BOOTSTRAP)
        given[BOOTSTRAP] = _text(BOOTSTRAP, environment)
    partitioner = given.get("partitioner")
    if partitioner is not None and partitioner not in PARTITIONERS:
        raise ConfigError(
            f"partitioner: expected one of {', '.join(PARTITIONERS)}, got {partitioner!r}", key="partitioner"
        )
    insecure = tuple(_insecure(given))
    if insecure and not allow_insecure:
        raise ConfigError(
            f"{insecure[0]}; for a development box pass allow_insecure=True", key=insecure[0].partition("=")[0]
        )
    _check_login(given, has_oauth_cb=has_oauth_cb)
    native = Native({**lane.defaults, **_for_transactions(lane, given), **_without_shell(given), **given})
    return Settings(
        native=native,
        shown={key: masked(key, value) for key, value in native.items()},
        given={key: masked(key, value) for key, value in given.items()},
        insecure=insecure,
    )


def _insecure(given: Mapping[str, str]) -> Iterator[str]:
    """Yield the settings that give secrets to any listener, or to a server in a broker's place."""
    off = {"ssl.endpoint.identification.algorithm": ("none",), "enable.ssl.certificate.verification": _FALSE}
    for name, values in off.items():
        if given.get(name, "").strip().lower() in values:
            yield f"{name}={given[name]}: brokers would not be authenticated; trust the right CA with ssl.ca.location"
    mechanism = given.get("sasl.mechanisms", "").strip().upper()
    protocol = given.get("security.protocol", "").strip().lower()
    if protocol == "sasl_plaintext" and mechanism in ("PLAIN", "OAUTHBEARER"):
        secret = "password" if mechanism == "PLAIN" else "token"
        yield (
            f"security.protocol={given['security.protocol']} with {mechanism}: the {secret} would cross the network as"
            " it is; use SASL_SSL"
        )


def _check_login(given: Mapping[str, str], *, has_oauth_cb: bool) -> None:
    """Refuse a login without a source of tokens, and files that do not exist."""
    if given.get("sasl.mechanisms", "").strip().upper() == "OAUTHBEARER" and not has_oauth_cb:
        is_native = given.get("sasl.oauthbearer.method", "").strip().lower() == "oidc"
        by_callback = given.get("sasl.oauthbearer.metadata.authentication.type", "").strip().lower() == "aws_iam"
        is_unsecured = given.get("enable.sasl.oauthbearer.unsecure.jwt", "").strip().lower() in _TRUE
        if by_callback or not (is_native or is_unsecured):
            why = "librdkafka has no AWS IAM tokens of its own" if by_callback else "nothing would bring a token"
            raise ConfigError(
                f"sasl.mechanisms=OAUTHBEARER: {why}; pass oauth_cb=, see docs/security.md", key="sasl.mechanisms"
            )
    for name, value in given.items():
        if name in FILES and value and value != "probe" and not os.path.exists(value):  # noqa: PTH110 - a Path raises of what is too long
            raise ConfigError(f"{name}: no such file: {value!r}", key=name)


def _without_shell(given: Mapping[str, str]) -> dict[str, str]:
    """Return what keeps librdkafka from ``kinit``: by default a shell runs it, with the principal as it was given."""
    is_sasl = given.get("security.protocol", "").strip().lower().startswith("sasl_")
    is_kerberos = given.get("sasl.mechanisms", "GSSAPI").strip().upper() == "GSSAPI"
    return {"sasl.kerberos.kinit.cmd": ""} if is_sasl and is_kerberos else {}


def _for_transactions(lane: ProducerPolicy, given: Mapping[str, str]) -> dict[str, str]:
    """Return the defaults that a ``transactional.id`` asks for: librdkafka refuses it with any others."""
    if "transactional.id" not in given:
        return {}
    limits = (lane.defaults["message.timeout.ms"], given.get("transaction.timeout.ms", "60000"))
    return {"enable.idempotence": "true", "message.timeout.ms": min(limits, key=_as_number)}


def _as_number(text: str) -> float:
    """Return a setting as a number; what is none is librdkafka's to refuse."""
    return float(text) if text.isdecimal() else math.inf


def _dotted(keyword: str) -> str:
    """Return the setting a keyword argument means; a few librdkafka names do have underscores."""
    return keyword if keyword in KNOWN or keyword in ALIASES else keyword.replace("_", ".")


def _check(lane: ProducerPolicy, name: str, value: str) -> None:
    if name in lane.refused:
        raise ConfigError(f"{name} cannot be set on {lane.name}: {lane.refused[name]}", key=name)
    rule = lane.rules.get(name)
    if rule is not None and not rule.allowed(value):
        raise ConfigError(f"{name}={masked(name, value)} breaks {lane.name}: {rule.why}", key=name)


def connection(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that say where the brokers are and how to log in, without those of a producer."""
    places = ("bootstrap.", "client.", "broker.address", "socket.")
    prefixes = (*places, "sasl.", "ssl.", "security.", "https.", "enable.sasl.", "enable.ssl.")
    return {key: value for key, value in settings.items() if key.startswith(prefixes)}
