"""Settings from property files (``-F``): as kcat and librdkafka's tools read them, and Java clients' own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from twolane.config.known import ALIASES
from twolane.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Java's names of settings that a file for Java clients may hold and that need nothing here.
_JAVA_ONLY = frozenset({"key.serializer", "value.serializer", "key.deserializer", "value.deserializer"})
_JAAS = re.compile(
    r"org\.apache\.kafka\.common\.security\.(?:plain\.Plain|scram\.Scram)LoginModule\s+required\b(.*);", re.S
)
_JAAS_OPTION = re.compile(r"(\w+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|'([^']*)'|([^\s;\"']+))")
_STORE_TYPES = {"ssl.truststore.type": "PEM", "ssl.keystore.type": "PKCS12"}


def read_properties(path: Path) -> dict[str, str]:
    r"""Return the settings of a file by librdkafka's names.

    Parameters
    ----------
    path : Path
        Lines ``name=value``; ``#`` and ``!`` begin comments, a backslash at the end continues a line, ``\:`` and
        ``\=`` are ``:`` and ``=``. Any other backslash stands for itself, as with kcat.

    Raises
    ------
    ConfigError
        A line without ``=``, a name twice, or a Java setting that librdkafka has no word for; names file and line,
        never a value.
    """
    found: dict[str, str] = {}
    for line, name, value in _entries(path):
        if name in _JAVA_ONLY:
            continue
        for key, text in _converted(name, value, f"{path}, line {line}").items():
            if key in found:
                raise ConfigError(f"{path}, line {line}: {key} is set twice", key=key)
            found[key] = text
    return found


def _entries(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield line number, name and value of each setting of a file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8") from None
    begun, first = "", 0
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not begun and (not line or line[0] in "#!"):
            continue
        first = first if begun else number
        if line.endswith("\\") and number < len(lines):
            begun += line[:-1]
            continue
        name, mark, value = re.sub(r"\\([:=])", r"\1", begun + line).partition("=")
        if not mark or not name.strip():
            raise ConfigError(f"{path}, line {first}: expected name=value")
        yield first, name.strip(), value.strip()
        begun = ""


def _converted(name: str, value: str, place: str) -> dict[str, str]:
    """Return one setting of a file by librdkafka's name, or two for a login of Java's."""
    if name == "sasl.jaas.config":
        return _login(value, place)
    if name == "ssl.endpoint.identification.algorithm":
        return {name: value or "none"}  # Java's empty value means: do not check host names
    if name in _STORE_TYPES:
        if value.upper() != _STORE_TYPES[name]:
            raise ConfigError(f"{place}: {name}={value}: librdkafka reads {_STORE_TYPES[name]} here", key=name)
        return {}
    if name == "ssl.truststore.location":
        return {"ssl.ca.location": _pem(value, place)}
    return {ALIASES.get(name, name): value}


def _pem(path: str, place: str) -> str:
    """Return the path of a file of certificates that librdkafka can read; Java's default is a format of its own."""
    try:
        with Path(path).open("rb") as file:
            is_pem = b"-----BEGIN" in file.read(65_536)
    except OSError as error:
        raise ConfigError(f"{place}: ssl.truststore.location: {error}", key="ssl.truststore.location") from None
    if not is_pem:
        raise ConfigError(
            f"{place}: ssl.truststore.location: {path} is not PEM; "
            "keytool -exportcert -rfc -keystore FILE -alias NAME writes a certificate as PEM",
            key="ssl.truststore.location",
        )
    return path


def _login(value: str, place: str) -> dict[str, str]:
    """Return user and password of Java's login modules for PLAIN and SCRAM."""
    module = _JAAS.fullmatch(value)
    options = {
        name: re.sub(r"\\(.)", r"\1", quoted) if quoted else single or plain
        for name, quoted, single, plain in _JAAS_OPTION.findall(module.group(1) if module else "")
    }
    if not {"username", "password"} <= options.keys():
        raise ConfigError(
            f"{place}: sasl.jaas.config: expected PlainLoginModule or ScramLoginModule with username and password; "
            "for others set librdkafka's sasl.* settings",
            key="sasl.jaas.config",
        )
    return {"sasl.username": options["username"], "sasl.password": options["password"]}
