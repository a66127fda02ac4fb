"""What may be shown of settings, and of texts that may echo them: secrets never, not in parts either."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from twolane.config.known import REGISTRY_SECRET, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MASK = "[masked]"
# A secret from this length on is taken out of texts: a shorter one may be part of any word.
WHOLE = 4
# So is a part of one from this length on: texts that librdkafka cuts, or that show where a value could not be read.
PART = 8
# Longer texts are librdkafka's statistics, which quote nothing: parts are looked for at every letter.
LINE = 8_192
# Names: parts of one may be any word, such as "producer".
WHOLE_ONLY = frozenset({"sasl.username"})
# Settings that librdkafka takes apart: what it says of them may hold parts of any length.
TAKEN_APART = ("sasl.oauthbearer.config", "sasl.oauthbearer.extensions")
# "token": what oauth_cb returned.
_SECRET = SECRET | REGISTRY_SECRET | {"token"}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def without_credentials(url: str) -> str:
    """Return a URL, ``host:port``, or a list of them, without users and passwords, and without a query.

    Where one of a list has a password, those before it are left out: a comma may belong to the password.
    """
    found = _SCHEME.match(url)
    scheme = found.group() if found else ""
    place, mark, query = _cut(url[len(scheme) :])
    if mark and "@" in query:
        return scheme + MASK  # the mark may belong to a password as well
    return scheme + place.rpartition("@")[2]


def without_urls(text: str) -> str:
    """Return a text without the credentials of URLs in it, in quotes and without a scheme too."""
    text = re.sub(r"[A-Za-z][\w+.-]*://\S+", lambda url: without_credentials(url.group()), text)
    return re.sub(r"[^\s/'\"]+@", "", text)


def _cut(text: str) -> tuple[str, str, str]:
    """Cut a text at its first ``?`` or ``#``."""
    found = re.search("[?#]", text)
    if found is None:
        return text, "", ""
    return text[: found.start()], found.group(), text[found.end() :]


def masked(key: str, value: str) -> str:
    """Return a setting's value as it may be shown: secrets never, URLs without credentials."""
    if key in _SECRET:
        return MASK
    if "@" in value or "://" in value:
        return without_credentials(value)
    return value


class Native(dict[str, str]):
    """Settings as librdkafka is given them. They show as they may be shown, and cannot be pickled."""

    def __repr__(self) -> str:
        return repr({key: masked(key, value) for key, value in self.items()})

    __str__ = __repr__

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("settings hold secrets and cannot be pickled")


class Hider:
    """Takes the secrets of settings out of texts of others: log lines, reasons, errors.

    Parameters
    ----------
    settings : mapping
        As librdkafka is given them.
    """

    # No __dict__: what shows the attributes of objects shows none of this.
    __slots__ = ("_parts", "_pieces", "_settings", "_shown", "_taken_apart")

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = Native(settings)
        self._prepare()

    def learn(self, key: str, value: str) -> None:
        """Hide this value of a setting too, in place of the one before."""
        self._settings[key] = value
        self._prepare()

    def _prepare(self) -> None:
        settings = self._settings
        hidden = {key: value for key, value in settings.items() if key in _SECRET or masked(key, value) != value}
        self._shown = {value: masked(key, value) for key, value in hidden.items() if len(value) >= WHOLE}
        pieces = {piece for key, value in hidden.items() for piece in _pieces(key, value) if len(piece) >= WHOLE}
        self._pieces = sorted(pieces - self._shown.keys(), key=len, reverse=True)
        names = {value for key, value in hidden.items() if key in WHOLE_ONLY}
        secrets = [piece for piece in (*self._shown, *pieces) if len(piece) >= PART and piece not in names]
        kept = [shown for shown in self._shown.values() if shown != MASK]
        # Parts that a place has in common with what may be shown of it are no secret.
        self._parts = frozenset(_grams(secrets)) - frozenset(_grams(kept))
        self._taken_apart = {key: hidden[key] for key in TAKEN_APART if hidden.get(key)}

    def __call__(self, text: str) -> str:
        """Return the text as it may be shown."""
        for key, value in self._taken_apart.items():
            head, name, tail = text.partition(key)
            words = re.split(r"([\s'\":]+)", tail)  # and what is between them
            text = head + name + "".join(MASK if _is_of(word, value) else word for word in words)
        for value, shown in self._shown.items():
            text = text.replace(value, shown)
        for piece in self._pieces:
            text = text.replace(piece, MASK)
        return self._without_parts(text) if self._parts and len(text) <= LINE else text

    def _without_parts(self, text: str) -> str:
        covered = [i for i in range(len(text) - PART + 1) if text[i : i + PART] in self._parts]
        if not covered:
            return text
        made, at, end = [], 0, -1
        for i in covered:
            if i > end:
                made += [text[at:i], MASK]
            at = end = i + PART
        return "".join(made) + text[at:]

    def __repr__(self) -> str:
        return "Hider()"

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("it holds secrets and cannot be pickled")


def _is_of(word: str, value: str) -> bool:
    """Return whether a word of what librdkafka says about a value stands in it, or was cut from it."""
    word = word.strip("\ufffd.,;()")
    return word in value and any(letter.isalnum() for letter in word)


def _pieces(key: str, value: str) -> Iterable[str]:
    """Return the parts of a hidden value that may come alone: lines of keys; users and passwords, %xx read too."""
    if key in _SECRET:
        parts = re.split("[:\n]" if key in REGISTRY_SECRET else "\n", value)
        return [*parts, _basic(value)] if key in REGISTRY_SECRET else parts
    found = _SCHEME.match(value)
    place, _, query = _cut(value[found.end() if found else 0 :])
    credentials = place.rpartition("@")[0]
    parts = [credentials, query, *credentials.split(","), *re.split("[:,@]", credentials), *re.split("[=&]", query)]
    parts.append(credentials.partition(":")[2])
    if credentials:
        parts.append(_basic(unquote(credentials)))
    return {form for part in parts for form in (part, unquote(part))}


def _basic(credentials: str) -> str:
    """Return what HTTP's basic authentication makes of a user and a password: servers may tell what they were sent."""
    return b64encode(credentials.encode(errors="surrogatepass")).decode().rstrip("=")


def _grams(texts: Iterable[str]) -> Iterable[str]:
    return (text[i : i + PART] for text in texts for i in range(len(text) - PART + 1))
