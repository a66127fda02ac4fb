"""What a producer takes beside librdkafka's settings: callbacks, a logger, and ``allow_insecure``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twolane.errors import ConfigError, shown

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

TokenCallback = Callable[[str], tuple[str, float] | tuple[str, float, str] | tuple[str, float, str, dict[str, str]]]

# confluent-kafka's other callbacks, with what takes their place.
_REPLACED = {
    "throttle_cb": "use stats().client.brokers[...].throttle, with statistics.interval.ms set",
    "on_delivery": "pass on_delivery to send()",
}


@dataclass(frozen=True)
class ClientOptions:
    """Arguments of a producer that are not librdkafka's.

    Attributes
    ----------
    oauth_cb, error_cb, stats_cb : callable or None
    logger : logging.Logger or None
    allow_insecure : bool
    """

    oauth_cb: TokenCallback | None = None
    error_cb: Callable[[KafkaError], Any] | None = None
    stats_cb: Callable[[str], Any] | None = None
    logger: logging.Logger | None = None
    allow_insecure: bool = False

    @classmethod
    def taken_from(
        cls, config: Mapping[str, Any] | None, keywords: Mapping[str, Any]
    ) -> tuple[ClientOptions, dict[str, Any], dict[str, Any]]:
        """Return the options, and what is left of the two sources: librdkafka's settings.

        Raises
        ------
        ConfigError
            `config` is no mapping, or an option has a wrong type.
        """
        if config is not None and not isinstance(config, Mapping):
            hint = f", or bootstrap_servers={shown(config)}" if isinstance(config, str) and "@" not in config else ""
            raise ConfigError(
                "settings are a mapping, such as {'bootstrap.servers': 'localhost:9092'}"
                f"{hint}; got {type(config).__name__}"
            )
        settings, keywords = dict(config or {}), dict(keywords)
        found: dict[str, Any] = {}
        for name in (*cls.__dataclass_fields__, *_REPLACED):
            given = [source.pop(name) for source in (settings, keywords) if name in source]
            if len(given) > 1:
                raise ConfigError(f"{name} is set twice", key=name)
            if given and given[0] is not None:
                found[name] = _checked(name, given[0])
        return cls(**found), settings, keywords


def _checked(name: str, value: Any) -> Any:
    if name in _REPLACED:
        raise ConfigError(f"{name}: {_REPLACED[name]}", key=name)
    if name == "allow_insecure":
        expected, fits = "True or False", isinstance(value, bool)
    elif name == "logger":
        expected, fits = "a logging.Logger", isinstance(value, (logging.Logger, logging.LoggerAdapter))
    else:
        expected, fits = "a callable", callable(value)
    if not fits:
        raise ConfigError(f"{name}: expected {expected}, got {type(value).__name__}", key=name)
    return value
