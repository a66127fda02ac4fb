"""Settings of both lanes: a ConfigError, or names that librdkafka knows, and no secret in what is shown."""

from __future__ import annotations

import ctypes
from typing import Any

import confluent_kafka
from confluent_kafka import cimpl

from tests.fuzz.draw import Draw
from twolane.config.known import ALIASES, KNOWN
from twolane.config.policy import SAFE, THROUGHPUT, settings_for
from twolane.errors import ConfigError

NAMES = [*sorted(KNOWN), *sorted(ALIASES)]
SECRETS = [
    "sasl.password", "ssl.key.password", "ssl.key.pem", "ssl.keystore.password", "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
]  # fmt: skip
VALUES = [
    "true", "false", "all", "-1", "0", "1", "10", "none", "gzip", "SASL_SSL", "PLAIN", "OAUTHBEARER", "oidc",
    "localhost:9092", "http://user:pass@host/", "murmur2", "2147483648", "1e9", " 1 ", "default", "aws_iam", "",
    "/nowhere",
]  # fmt: skip
PLACE = {"bootstrap.servers": "localhost:9092"}
LIBRARY = ctypes.CDLL(cimpl.__file__)
LIBRARY.rd_kafka_conf_new.restype = ctypes.c_void_p
LIBRARY.rd_kafka_conf_destroy.argtypes = (ctypes.c_void_p,)
LIBRARY.rd_kafka_conf_set.argtypes = (ctypes.c_void_p, *[ctypes.c_char_p] * 3, ctypes.c_size_t)
UNKNOWN = -2
SECRET = "s3cr3t-Zx9-"

assert confluent_kafka.libversion()


def is_known(name: str, value: str) -> bool:
    """Return whether librdkafka knows the setting, whatever it says of the value."""
    conf, said = LIBRARY.rd_kafka_conf_new(), ctypes.create_string_buffer(512)
    try:
        return LIBRARY.rd_kafka_conf_set(conf, name.encode(), value.encode(), said, 512) != UNKNOWN
    finally:
        LIBRARY.rd_kafka_conf_destroy(conf)


def run(data: bytes) -> None:
    draw = Draw(data)
    given: dict[Any, Any] = dict(PLACE) if draw.below(8) else {}
    secrets = []
    for _ in range(draw.below(6)):
        name: Any = draw.choice(NAMES)
        how = draw.below(16)
        if how == 0:
            name = name[: draw.below(len(name))] + draw.text(2)
        elif how == 1:
            name = draw.anything()
            try:
                hash(name)
            except TypeError:
                continue
        elif how < 5:
            name = draw.choice(SECRETS)
            secrets.append(SECRET + str(draw.take(2)))
            given[name] = secrets[-1]
            continue
        value = draw.choice(VALUES) if draw.below(3) else draw.anything()
        given[name] = value
    as_keywords = draw.below(2)
    keywords = {str(name).replace(".", "_"): value for name, value in given.items() if isinstance(name, str)}
    lane = SAFE if draw.below(2) else THROUGHPUT
    try:
        made = settings_for(
            lane,
            None if as_keywords else given,
            keywords if as_keywords else {},
            allow_insecure=bool(draw.below(2)),
            has_oauth_cb=bool(draw.below(2)),
        )
    except ConfigError as error:
        said = f"{error} {error.args!r}"
        assert not any(secret in said for secret in secrets), said
        return
    said = f"{made!r} {made.shown!r} {made.given!r} {made.native!r}"
    assert not any(secret in said for secret in secrets), said
    for value in made.native.values():
        assert isinstance(value, str)
        assert "\0" not in value
    name = draw.choice(list(made.native))
    assert is_known(name, made.native[name]), name
