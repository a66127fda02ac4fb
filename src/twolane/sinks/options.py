"""SinkOptions: what a sink was given, checked where the sink is made, and sent to where the tasks run."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from twolane.config.callbacks import ClientOptions
from twolane.config.known import ALIASES
from twolane.config.masking import masked
from twolane.config.policy import BOOTSTRAP, SAFE, THROUGHPUT, settings_for
from twolane.errors import ConfigError, shown
from twolane.serializers.in_words import Format

if TYPE_CHECKING:
    from collections.abc import Sequence

LANES = {"safe": SAFE, "throughput": THROUGHPUT}
# Rows that go into one send_batch().
CHUNK = 65_536
TRANSACTIONAL_ID = "transactional.id"
# Prefixes of options that are settings of the producer, and of the registry's client.
_SETTING, _REGISTRY = ("kafka.", "twolane."), "registry."
_ENVIRONMENT = re.compile(r"\$\{env:(\w+)\}")


class HiddenSettings(dict[str, Any]):
    """Settings that show no secret. Unlike the producers' own they can be pickled: an engine takes them to its tasks.

    A value ``${env:NAME}`` stands for a variable of the environment where the task runs.
    """

    def __repr__(self) -> str:
        return repr({key: masked(key, value) if isinstance(value, str) else value for key, value in self.items()})

    __str__ = __repr__

    def resolved(self) -> dict[str, Any]:
        """Return the settings with what the environment says in place of its variables' names.

        Raises
        ------
        ConfigError
            The process has no such variable.
        """
        return {key: _of_environment(key, value) for key, value in self.items()}


def _of_environment(key: str, value: Any) -> Any:
    found = _ENVIRONMENT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    if found[1] not in os.environ:
        raise ConfigError(f"{key}: this process has no environment variable {found[1]}", key=key)
    return os.environ[found[1]]


@dataclass(frozen=True)
class SinkOptions:
    """What a sink was given.

    Parameters
    ----------
    topic : str
    config : mapping
        Settings of the producer, by librdkafka's names. ``transactional.id`` makes each task one transaction; the
        task's number is appended to it.
    lane : {"safe", "throughput"}
    serializer : Serializer or str
        ``"json"``, ``"avro"`` (the schema is made of the rows'), ``"avro:SCHEMA"``, ``"protobuf:FILE.desc[:MESSAGE]"``,
        ``"bytes:COLUMN"``.
    key, timestamp, partition : str, optional
        Names of columns. Keys are bytes or text; whole numbers become their digits.
    headers : sequence of str
        Columns that become headers of that name.
    without : sequence of str
        Columns that are left out of the value.
    registry : str or mapping, optional
        URL of a Schema Registry, or the settings of its client. A `serializer` that is an object has its own.
    on_bad_row : {"raise", "skip"}
    order_by_key : bool
        Whether the job fails where rows of one key were in more than one task, or are in the log in another order than
        in the task. The rows are written by then.
    mark : bool, optional
        Whether each record has a header that names its task and attempt.
    chunk : int
        Rows of one ``send_batch()``, at most.

    Raises
    ------
    ConfigError
        Names the option, and shows no secret.
    """

    topic: str
    config: HiddenSettings = field(default_factory=HiddenSettings)
    lane: str = "safe"
    serializer: Any = "json"
    key: str | None = None
    timestamp: str | None = None
    partition: str | None = None
    headers: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    registry: HiddenSettings | None = None
    on_bad_row: str = "raise"
    order_by_key: bool = False
    mark: bool | None = None
    chunk: int = CHUNK

    def __post_init__(self) -> None:
        if not isinstance(self.topic, str) or not self.topic:
            raise ConfigError(f"topic: expected a topic's name, got {shown(self.topic)}", key="topic")
        for name, values in (("lane", tuple(LANES)), ("on_bad_row", ("raise", "skip"))):
            if getattr(self, name) not in values:
                expected = " or ".join(map(repr, values))
                raise ConfigError(f"{name}: expected {expected}, got {shown(getattr(self, name))}", key=name)
        for name in ("key", "timestamp", "partition"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise ConfigError(f"{name}: expected the name of a column, got {shown(value)}", key=name)
        for name in ("headers", "without"):
            value = getattr(self, name)
            if isinstance(value, (str, Mapping)) or not all(isinstance(one, str) for one in value):
                raise ConfigError(f"{name}: expected names of columns, got {shown(value)}", key=name)
            self._set(name, tuple(value))
        if self.order_by_key and self.key is None:
            raise ConfigError("order_by_key: needs the option key", key="order_by_key")
        if isinstance(self.chunk, bool) or not isinstance(self.chunk, int) or self.chunk < 1:
            raise ConfigError(f"chunk: expected a number of rows, got {shown(self.chunk)}", key="chunk")
        if self.registry is not None:
            given = {"url": self.registry} if isinstance(self.registry, str) else self.registry
            if not isinstance(given, Mapping):
                raise ConfigError("registry: expected a URL, or the settings of its client", key="registry")
            self._set("registry", HiddenSettings(given))
        self._set("config", self._checked_config())
        if isinstance(self.serializer, str):
            self._set("serializer", Format.of(self.serializer, "serializer"))
        elif self.registry is not None:
            raise ConfigError("registry: the serializer is an object, which has its own", key="registry")

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _checked_config(self) -> HiddenSettings:
        """Return the settings, which a producer takes, with the brokers' addresses: tasks have another environment."""
        options, settings, _ = ClientOptions.taken_from(self.config, {})
        made = settings_for(
            LANES[self.lane],
            settings,
            {},
            allow_insecure=options.allow_insecure,
            has_oauth_cb=options.oauth_cb is not None,
        )
        named = {ALIASES.get(key, key): value for key, value in self.config.items()}
        return HiddenSettings({**named, BOOTSTRAP: made.native[BOOTSTRAP]})

    @classmethod
    def from_strings(cls, given: Mapping[str, str], **more: Any) -> SinkOptions:
        """Make the options of a map of strings, as Spark has it.

        Parameters
        ----------
        given : mapping
            Settings of the producer begin with ``kafka.`` or ``twolane.``, those of the registry's client with
            ``registry.``; lists of columns have commas between.
        """
        names = {one.name for one in fields(cls)} - {"config"}
        made: dict[str, Any] = {}
        config: dict[str, Any] = {}
        registry: dict[str, str] = {}
        for key, value in given.items():
            prefix = next((prefix for prefix in _SETTING if key.startswith(prefix)), None)
            if prefix is not None:
                name = key.removeprefix(prefix)
                config[name] = _flag(key, value) if name == "allow_insecure" else value
            elif key.startswith(_REGISTRY):
                registry[key.removeprefix(_REGISTRY)] = value
            elif key in ("headers", "without"):
                made[key] = tuple(name.strip() for name in value.split(",") if name.strip())
            elif key == "chunk":
                made[key] = int(value) if value.isdecimal() else value
            elif key in ("mark", "order_by_key"):
                made[key] = _flag(key, value)
            elif key in names:
                made[key] = value
            else:
                raise ConfigError(
                    f"unknown option {key!r}: expected one of {', '.join(sorted(names))}, or a setting with the prefix "
                    f"{_SETTING[0]!r} or {_REGISTRY!r}",
                    key=key,
                )
        if registry:
            url = made.pop("registry", None)
            made["registry"] = {**registry, "url": url} if url is not None else registry
        if "topic" not in made:
            raise ConfigError("topic is missing", key="topic")
        return cls(config=HiddenSettings(config), **{**made, **more})

    @property
    def transactional_id(self) -> str | None:
        """What the ids of the tasks' transactions begin with; None without transactions."""
        given: str | None = self.config.get(TRANSACTIONAL_ID)
        return given

    def check_columns(self, names: Sequence[str]) -> None:
        """Look whether rows have the columns that are named.

        Raises
        ------
        ConfigError
            The first option that names none, and the columns there are.
        """
        asked = [("key", self.key), ("timestamp", self.timestamp), ("partition", self.partition)]
        asked += [("headers", name) for name in self.headers] + [("without", name) for name in self.without]
        if isinstance(self.serializer, Format):
            asked.append(("serializer", self.serializer.column or None))
        for option, name in asked:
            if name is not None and name not in names:
                known = ", ".join(map(repr, names))
                raise ConfigError(f"{option}: no column {name!r}; the columns are {known}", key=option)


def _flag(key: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ConfigError(f"{key}: expected true or false, got {shown(value)}", key=key)
    return value.lower() == "true"
