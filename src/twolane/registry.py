"""Schema ids from a Schema Registry: asked once per topic, never per record.

Stands on confluent_kafka's client (``pip install confluent-kafka[schemaregistry]``), which brings TLS, basic auth,
retries and, for tests, ``mock://`` registries. Nothing here is imported unless a registry is used.
"""

from __future__ import annotations

import json
import re
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twolane.encoding.avro_schema import full_name, load
from twolane.errors import ConfigError, SerializationError
from twolane.masking import Hider, without_credentials

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

__all__ = ["Registry", "record_subject", "topic_record_subject", "topic_subject"]

SubjectName = Callable[[str, str, "str | None"], str]


def topic_subject(topic: str, field: str, record_name: str | None) -> str:
    """Name the subject ``<topic>-key`` or ``<topic>-value``: Confluent's TopicNameStrategy, the default."""
    return f"{topic}-{field}"


def record_subject(topic: str, field: str, record_name: str | None) -> str:
    """Name the subject after the record: Confluent's RecordNameStrategy."""
    if record_name is None:
        raise SerializationError("the record name strategy needs a schema with a name")
    return record_name


def topic_record_subject(topic: str, field: str, record_name: str | None) -> str:
    """Name the subject ``<topic>-<record>``: Confluent's TopicRecordNameStrategy."""
    return f"{topic}-{record_subject(topic, field, record_name)}"


class Registry:
    """A Schema Registry and how schemas are put into it or looked up.

    Parameters
    ----------
    client : SchemaRegistryClient or mapping
        The client, or its configuration: ``url``, ``basic.auth.user.info``, ``ssl.ca.location``, ...
    auto_register : bool, default True
        Register the schema under the topic's subject. False only looks it up (``auto.register.schemas``).
    use_latest : bool, default False
        Write with the subject's newest schema instead of the given one (``use.latest.version``), and with what it
        refers to in other subjects; needs ``auto_register=False``.
    normalize : bool, default False
        Let the registry bring schemas to their normal form before it compares them (``normalize.schemas``).
    subject_name : callable, default :func:`topic_subject`
        ``(topic, "key" or "value", record name) -> subject``.

    Raises
    ------
    ConfigError
        If the client is missing, or settings contradict each other.

    Notes
    -----
    Calls go over the network and block with the GIL released; one lock keeps threads from asking twice.
    """

    def __init__(
        self,
        client: SchemaRegistryClient | Mapping[str, Any],
        *,
        auto_register: bool = True,
        use_latest: bool = False,
        normalize: bool = False,
        subject_name: SubjectName = topic_subject,
    ) -> None:
        if auto_register and use_latest:
            raise ConfigError("use_latest=True needs auto_register=False", key="use.latest.version")
        self._client, self.url, self._hide = open_client(client)
        if self._client is not client:
            # Ours to close: its connections would otherwise be left to the garbage collector.
            weakref.finalize(self, self._client.close)
        self._auto_register = auto_register
        self._use_latest = use_latest
        self._normalize = normalize
        self._subject_name = subject_name
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str, str], tuple[int, str]] = {}

    def resolve(
        self, schema: str, *, topic: str, field: str = "value", record_name: str | None = None, kind: str = "AVRO"
    ) -> tuple[int, str]:
        """Give the id and the text of the schema to write with.

        Parameters
        ----------
        schema : str
            As given by the user.
        topic : str
        field : {"value", "key"}
        record_name : str, optional
            Full name of the schema's root.
        kind : str
            "AVRO", "JSON" or "PROTOBUF".

        Raises
        ------
        SerializationError
            If the registry cannot be reached or refuses; names subject and URL, without credentials.
        """
        subject = self._subject_name(topic, field, record_name)
        with self._lock:
            known = self._known.get((subject, schema, kind))
            if known is None:
                known = self._known[subject, schema, kind] = self._ask(subject, schema, kind)
            return known

    def _ask(self, subject: str, text: str, kind: str) -> tuple[int, str]:
        from confluent_kafka.schema_registry import Schema

        try:
            if self._use_latest:
                latest = self._client.get_latest_version(subject)
                return int(latest.schema_id), self._whole(latest.schema)
            schema = Schema(text, kind)
            if self._auto_register:
                return int(self._client.register_schema(subject, schema, self._normalize)), text
            return int(self._client.lookup_schema(subject, schema, self._normalize).schema_id), text
        except SerializationError:
            raise
        except Exception as error:
            # The client lets through whatever its HTTP library raises.
            reason = self._hide(without_secrets(error))
        # Outside of the clause: the error's own text may hold what is hidden here.
        doing = "latest version" if self._use_latest else "registration" if self._auto_register else "lookup"
        raise SerializationError(f"schema registry at {self.url}, subject {subject!r}: {doing} failed: {reason}")

    def _whole(self, schema: Schema) -> str:
        """Give a schema's text with what it refers to in other subjects put where it is first named."""
        known: dict[str, Any] = {}
        self._collect(schema, known)
        return json.dumps(inlined(load(schema.schema_str), "", known)) if known else str(schema.schema_str)

    def _collect(self, schema: Schema, known: dict[str, Any]) -> None:
        """Add the definitions that a schema refers to, and those that they refer to."""
        for reference in schema.references or ():
            name = str(reference.name)
            if name not in known:
                found = self._client.get_version(reference.subject, reference.version).schema
                known[name] = load(found.schema_str)
                self._collect(found, known)

    def __repr__(self) -> str:
        return f"Registry({self.url})"


def open_client(client: Any) -> tuple[Any, str, Hider]:
    """Give a client, the URL to show for it, and what takes secrets out of texts."""
    if not isinstance(client, Mapping):
        if not hasattr(client, "register_schema"):
            raise ConfigError(f"registry: expected a SchemaRegistryClient or its configuration, got {type(client)}")
        configured = getattr(client, "_conf", None)
        known = configured if isinstance(configured, Mapping) else {}
        return client, without_credentials(str(known.get("url", "?"))), hider(known)
    try:
        from confluent_kafka.schema_registry import SchemaRegistryClient
    except ImportError as error:
        raise ConfigError(
            f"a registry needs `pip install confluent-kafka[schemaregistry]`: {error}", key="schema.registry"
        ) from error
    hide, shown = hider(client), without_credentials(str(client.get("url", "")))
    try:
        return SchemaRegistryClient.new_client(dict(client)), shown, hide
    except (ValueError, TypeError, OSError) as error:
        reason, key = hide(without_secrets(error)), "url"
        if isinstance(error, OSError):
            # Of certificates and keys; Python's error says of none which.
            files = [name for name in client if str(name).endswith(".location")]
            key = next((name for name in files if not Path(str(client[name])).is_file()), (files or [key])[0])
            reason += f" ({', '.join(f'{name}={client[name]}' for name in files)})"
    # Outside of the clause: the error's own text may hold what is hidden here.
    raise ConfigError(f"schema registry at {shown}: {reason}", key=key)


def hider(settings: Mapping[Any, Any]) -> Hider:
    """Give what takes the secrets of a client's configuration out of texts."""
    return Hider({str(key): value for key, value in settings.items() if isinstance(value, str)})


def inlined(node: Any, namespace: str, known: dict[str, Any]) -> Any:
    """Give an Avro schema that needs no other: names in `known` become definitions, which leave `known` by that."""
    if isinstance(node, list):
        return [inlined(branch, namespace, known) for branch in node]
    if isinstance(node, dict):
        if "fields" in node:
            namespace = full_name(node, namespace, "schema")[0].rpartition(".")[0]
            fields = [{**field, "type": inlined(field["type"], namespace, known)} for field in node["fields"]]
            return {**node, "fields": fields}
        parts = {part: inlined(node[part], namespace, known) for part in ("type", "items", "values") if part in node}
        return {**node, **parts}
    full = f"{namespace}.{node}" if namespace and f"{namespace}.{node}" in known else node
    if full not in known:
        return node
    definition = known.pop(full)
    if isinstance(definition, dict):
        definition = {"namespace": "", **definition}  # not that of where it is put
    return inlined(definition, "", known)


def without_secrets(error: Exception) -> str:
    """Give an error's text with every URL in it cleaned."""
    return without_users(re.sub(r"[A-Za-z][\w+.-]*://\S+", lambda url: without_credentials(url.group()), str(error)))


def without_users(text: str) -> str:
    """Give a text without what stands before an @: also in quotes, and where a URL lacks its scheme."""
    return re.sub(r"[^\s/'\"]+@", "", text)
