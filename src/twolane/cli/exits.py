"""Exit codes, and errors in the words of the command line. The table for users is in docs/cli.md."""

from __future__ import annotations

from enum import IntEnum

from confluent_kafka import KafkaError, KafkaException

from twolane.errors import ConfigError, DeliveryError, LibraryError, SerializationError, TransactionError
from twolane.results import Verdict
from twolane.testing.errors import ClusterError


class Exit(IntEnum):
    """What a command ends with."""

    OK = 0
    USAGE = 1
    REFUSED = 2
    NOT_WRITTEN = 3
    UNKNOWN = 4
    UNAVAILABLE = 5
    FOUND = 6
    FAULT = 70
    INTERRUPTED = 130
    TERMINATED = 143


class Terminated(KeyboardInterrupt):
    """SIGTERM: handled as Ctrl-C is, but for the exit code."""


class Stop(Exception):
    """What ends a command: an exit code and a line."""

    def __init__(self, code: Exit, text: str) -> None:
        super().__init__(text)
        self.code = code


# A record was not written because there is no way to the brokers.
_NO_WAY = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._AUTHENTICATION,
        KafkaError._RESOLVE,
        KafkaError._SSL,
        KafkaError._TRANSPORT,
        KafkaError.SASL_AUTHENTICATION_FAILED,
    }
)
# What Python callers are told -> what to type here.
_WORDS = (
    ("bootstrap.servers is missing", "-b HOST:PORT is missing"),
    ("pass allow_insecure=True", "use --allow-insecure"),
    ("pass oauth_cb=", "set sasl.oauthbearer.method=oidc"),
    ("SafeProducer", "--lane safe"),
    ("ThroughputProducer", "--lane throughput"),
)


def of_counts(*, refused: int = 0, not_written: int = 0, unknown: int = 0) -> Exit:
    """Return the exit code of a run by what became of its records: the least certain outcome first."""
    if unknown:
        return Exit.UNKNOWN
    if not_written:
        return Exit.NOT_WRITTEN
    return Exit.REFUSED if refused else Exit.OK


def of_error(error: BaseException) -> Exit:
    """Return the exit code of an error that ended a command; FAULT for what no user can be blamed for."""
    if isinstance(error, Stop):
        return error.code
    if isinstance(error, Terminated):
        return Exit.TERMINATED
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    if isinstance(error, ConfigError):
        return Exit.USAGE
    if isinstance(error, SerializationError):
        return Exit.REFUSED
    if isinstance(error, (DeliveryError, TransactionError)):
        if error.verdict is Verdict.UNKNOWN:
            return Exit.UNKNOWN
        return Exit.UNAVAILABLE if error.error.code() in _NO_WAY else Exit.NOT_WRITTEN
    if isinstance(error, (LibraryError, ClusterError, KafkaException, OSError)):
        return Exit.UNAVAILABLE
    return Exit.FAULT


def text_of(error: BaseException) -> str:
    """Return an error's text and notes in the words of the command line."""
    cause = error.args[0] if type(error) is KafkaException and error.args else None
    text = cause.str() if isinstance(cause, KafkaError) else str(error) or type(error).__name__
    text = "\n".join([text, *getattr(error, "__notes__", ())])
    for python, here in _WORDS:
        text = text.replace(python, here)
    return text
