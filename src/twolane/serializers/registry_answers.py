"""What a Schema Registry may answer: bounded in size and time, from where it was asked, of the types of its API."""

from __future__ import annotations

import time
from typing import Any

from twolane.config.masking import without_credentials
from twolane.encoding.json_text import parsed
from twolane.errors import shown

# A schema is text in one record of a topic, a megabyte by Kafka's default.
MOST_BYTES = 8 << 20
# Of one answer, and of a read or a connection where the client's settings have no ``timeout``.
MOST_SECONDS = 30.0
# Characters of an answer's own words in an error.
MOST_TEXT = 1_000
_WORDS = {int: "an int", str: "a text", list: "a list", dict: "an object"}
_REFERENCE = {"name": str, "subject": str, "version": int}
_ANSWER = {"version": int, "schema": str, "schemaType": str, "subject": str, "references": list, "ruleSet": dict}


def check_answers(client: Any) -> None:
    """Have a SchemaRegistryClient read no more than it may; confluent-kafka's bounds nothing."""
    rest = getattr(client, "_rest_client", None)
    if rest is None or not hasattr(rest, "session"):
        return  # mock://
    session = rest.session
    session.headers["Accept-Encoding"] = "identity"  # what cannot be compressed does not grow
    if rest.timeout is None:
        session.timeout = MOST_SECONDS
    session.event_hooks = {"response": [_check]}


def _check(response: Any) -> None:
    """Read an answer, which the client has not read yet, and raise of what it may not be."""
    if 300 <= response.status_code < 400:
        to = without_credentials(response.headers.get("location", "?"))[:MOST_TEXT]
        raise ValueError(f"it redirects to {to} (HTTP status code {response.status_code}), which is not followed")
    encoding = response.headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise ValueError(f"the answer is compressed ({shown(encoding)}), which was not asked for")
    response._content = content = _read(response)
    if response.status_code < 300:
        _check_types(content)


def _read(response: Any) -> bytes:
    begun, size, parts = time.monotonic(), 0, []
    for part in response.iter_raw():
        size += len(part)
        if size > MOST_BYTES:
            raise ValueError(f"the answer is larger than {MOST_BYTES >> 20} MiB")
        if time.monotonic() - begun > MOST_SECONDS:
            raise ValueError(f"the answer was not over after {MOST_SECONDS} s and {size} bytes")
        parts.append(part)
    return b"".join(parts)


def _check_types(content: bytes) -> None:
    try:
        answer = parsed(content)
    except ValueError as error:
        raise ValueError(f"the answer is no JSON: {error}; it begins {content[:40]!r}") from None
    if type(answer) is not dict:
        raise ValueError(f"expected an object, got {shown(answer)}")
    _check_object(answer, _ANSWER, "")
    for i, reference in enumerate(answer.get("references") or ()):
        if type(reference) is not dict:
            raise ValueError(f"references[{i}]: expected an object, got {shown(reference)}")
        _check_object(reference, _REFERENCE, f"references[{i}].")


def _check_object(answer: dict[str, Any], types: dict[str, type], at: str) -> None:
    for name, kind in types.items():
        value = answer.get(name)
        if value is not None and type(value) is not kind:
            raise ValueError(f"{at}{name}: expected {_WORDS[kind]}, got {shown(value)}")
