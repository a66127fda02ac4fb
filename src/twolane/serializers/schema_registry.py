"""Schema ids from a Schema Registry: asked once per topic, never per record, for schemas of any type.

Stands on confluent_kafka's client (``pip install confluent-kafka[schemaregistry]``), which brings TLS, basic auth,
retries and, for tests, ``mock://`` registries. Nothing here is imported unless a registry is used.
"""

from __future__ import annotations

import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from twolane.config.masking import Hider, masked, without_credentials, without_urls
from twolane.errors import ConfigError, SerializationError, shown
from twolane.serializers.confluent import Resolved, checked_id
from twolane.serializers.registry_answers import MOST_TEXT, check_answers

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient

__all__ = ["Registry", "file_subject", "record_subject", "topic_record_subject", "topic_subject"]

SubjectName = Callable[[str, str, "str | None"], str]
ReferenceSubject = Callable[[str, str, str], str]
# Seconds that a caller without a deadline waits for an answer.
PATIENCE = 60.0
# Seconds after which a request without an answer is left alone, and the next call asks anew.
ABANDONED_AFTER = 30.0
# Requests without an answer, each of which holds a thread.
MOST_REQUESTS = 64
# Schemas that one schema may refer to, directly or not, and how many of them in a row.
MOST_REFERENCES, DEEPEST_REFERENCE = 256, 32

_forks = 0


def _count_fork() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


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


def file_subject(topic: str, field: str, file: str) -> str:
    """Name the subject of an imported Protobuf file after the file: Confluent's reference_subject_name_strategy."""
    return file


@dataclass(slots=True)
class Request:
    """One question to the registry, which a thread of its own asks: a caller may stop waiting for it.

    Attributes
    ----------
    answer : Resolved or None
    fault : str
        Where there is no answer.
    """

    begun: float = field(default_factory=time.monotonic)
    done: threading.Event = field(default_factory=threading.Event)
    answer: Resolved | None = None
    fault: str = ""


@dataclass(slots=True, repr=False)
class Line:
    """What a process has to do with a registry: a child gets another, with connections of its own.

    There is no lock in it: every change is one operation of a dict.
    """

    client: Any
    hide: Hider
    forks: int = field(default_factory=lambda: _forks)
    known: dict[Any, Resolved] = field(default_factory=dict)
    asked: dict[Any, Request] = field(default_factory=dict)


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
        refers to in other subjects; needs ``auto_register=False``. A serializer without a schema always does.
    normalize : bool, default False
        Let the registry bring schemas to their normal form before it compares them (``normalize.schemas``).
    subject_name : callable, default :func:`topic_subject`
        ``(topic, "key" or "value", record name) -> subject``. With :func:`record_subject` and
        :func:`topic_record_subject` each record of a union at the root has the subject of its own name.
    reference_subject : callable, default :func:`file_subject`
        ``(topic, "key" or "value", name of the file) -> subject``, of a file that a Protobuf schema imports
        (``reference.subject.name.strategy``).
    schema_id_in : {"prefix", "header"}, default "prefix"
        Where records say which schema they have: before the record, or in a header ``__value_schema_id`` or
        ``__key_schema_id`` that holds the schema's GUID (``schema.id.serializer``).

    Raises
    ------
    ConfigError
        If the client is missing, or settings contradict each other.

    Notes
    -----
    Each question is asked in a thread of its own, once for all calls that wait for it: a registry that does not answer
    holds no call beyond its deadline, and none that asks something else. A child process (fork) gets a client of its
    own: two processes that share a connection would take each other's answers.
    """

    def __init__(
        self,
        client: SchemaRegistryClient | Mapping[str, Any],
        *,
        auto_register: bool = True,
        use_latest: bool = False,
        normalize: bool = False,
        subject_name: SubjectName = topic_subject,
        reference_subject: ReferenceSubject = file_subject,
        schema_id_in: str = "prefix",
    ) -> None:
        if auto_register and use_latest:
            raise ConfigError("use_latest=True needs auto_register=False", key="use.latest.version")
        for key, given in (("subject_name", subject_name), ("reference_subject", reference_subject)):
            if not callable(given):
                raise ConfigError(f"{key}: expected a function", key=key)
        if schema_id_in not in ("prefix", "header"):
            raise ConfigError(
                f"schema_id_in: expected 'prefix' or 'header', got {shown(schema_id_in)}", key="schema_id_in"
            )
        opened, self.url, hide = open_client(client)
        self._line = Line(opened, hide)
        # A function, so that nothing that shows a Registry shows what it was made of.
        self._configuration: Callable[[], Mapping[str, Any]] = lambda: configuration(client)
        if opened is not client:
            self._close_with_us(opened)
        self._auto_register = auto_register
        self._use_latest = use_latest
        self._normalize = normalize
        self._subject_name = subject_name
        self._reference_subject = reference_subject
        self.schema_id_in = schema_id_in

    def __reduce__(self) -> Any:
        settings = dict(self._configuration())
        recipe = "make it in the other process, or pickle what warm_up(topic) of the serializer returns"
        if not settings:
            raise TypeError(f"a registry cannot be pickled where its client's settings are not known: {recipe}")
        hidden = [key for key, value in settings.items() if not _may_be_pickled(key, value)]
        if hidden:
            raise TypeError(
                f"a registry cannot be pickled where its settings may hold secrets ({', '.join(hidden)}): {recipe}"
            )
        options = {
            "auto_register": self._auto_register,
            "use_latest": self._use_latest,
            "normalize": self._normalize,
            "subject_name": self._subject_name,
            "reference_subject": self._reference_subject,
            "schema_id_in": self.schema_id_in,
        }
        return _remade, (settings, options)

    @property
    def by_record(self) -> bool:
        """Whether subjects are named after records, so that each record of a root union has one."""
        return self._subject_name in (record_subject, topic_record_subject)

    def _close_with_us(self, client: Any) -> None:
        # Its connections would otherwise be left to the garbage collector. In a child they are the parent's.
        weakref.finalize(self, lambda forks: client.close() if forks == _forks else None, _forks)

    def _own_line(self) -> Line:
        """Return this process' line."""
        line = self._line
        if line.forks == _forks:
            return line
        conf = self._configuration()
        if str(conf.get("url", "")).startswith("mock://"):
            client = line.client  # has no connection
        elif conf:
            client, _, _ = open_client(conf)
            self._close_with_us(client)
        else:
            raise SerializationError(
                "the registry's client belongs to the parent process, and its configuration is not known: "
                "make the client and the Registry in the child"
            )
        self._line = line = Line(client, line.hide)
        return line

    def resolve(
        self,
        schema: str | None,
        *,
        topic: str,
        field: str = "value",
        record_name: str | None = None,
        kind: str = "AVRO",
        references: Sequence[Any] = (),
        files: tuple[Any, ...] = (),
        schema_id: int | None = None,
        deadline: float | None = None,
        is_same: Callable[[str, str], bool] | None = None,
    ) -> Resolved:
        """Return the id of the schema to write with, its text, and the schemas that it refers to.

        Parameters
        ----------
        schema : str or None
            As given by the user. None: the subject's latest, or that of the id.
        topic : str
        field : {"value", "key"}
        record_name : str, optional
            Full name of the schema's root.
        kind : str
            "AVRO", "JSON" or "PROTOBUF".
        references : sequence of SchemaReference
            Where the types are that the schema names, but does not define.
        files : tuple of File
            Of a Protobuf schema: its own behind all that it imports, which are registered or looked up before it, and
            referred to.
        schema_id : int, optional
            Write with the schema of this id (``use.schema.id``).
        deadline : float, optional
            Of `time.monotonic()`. A minute from now, without it.
        is_same : callable, optional
            Returns whether two texts are the same schema: an answer about another one is refused.

        Raises
        ------
        SerializationError
            If the registry cannot be reached, refuses or does not answer in time; names subject and URL, without
            credentials.
        """
        subject = self._subject_name(topic, field, record_name)
        if not isinstance(subject, str):
            raise SerializationError("subject_name: expected the name of a subject", value=subject)
        line = self._own_line()
        places = tuple((one.name, one.subject, one.version) for one in references)
        imports = [(file, self._reference_subject(topic, field, file.name)) for file in files[:-1]]
        question = (subject, schema, kind, places, schema_id, files, tuple(other for _, other in imports))
        known = line.known.get(question)
        if known is not None:
            return known
        doing = (
            "look-up of the id"
            if schema_id is not None
            else "latest version"
            if self._use_latest or schema is None
            else "registration"
            if self._auto_register
            else "lookup"
        )
        about = f"schema registry at {self.url}, subject {subject!r}: {doing}"

        def ask() -> Resolved:
            from confluent_kafka.schema_registry import Schema

            if schema_id is not None:
                return self._by_id(line.client, subject, kind, schema_id)
            if self._use_latest or schema is None:
                return self._latest(line.client, subject, kind)
            if imports:
                whole = Schema(schema, kind, self._with_imports(line.client, files, imports))
                return self._put(line.client, subject, whole, is_same)
            given = Schema(schema, kind, list(references))
            return self._put(line.client, subject, given, is_same)._replace(referenced=referenced(line.client, given))

        request = self._request(line, question, ask)
        now = time.monotonic()
        left = PATIENCE if deadline is None else deadline - now
        if not request.done.wait(min(max(left, 0.0), threading.TIMEOUT_MAX)):
            waited = time.monotonic() - request.begun
            raise SerializationError(f"{about}: no answer within the call's time; it was asked {waited:.1f} s ago")
        if request.answer is None:
            raise SerializationError(f"{about} failed: {request.fault}")
        return request.answer

    def _request(self, line: Line, question: Any, ask: Callable[[], Resolved]) -> Request:
        """Return the request that is under way for a question, or begin one."""
        mine = Request()
        found = line.asked.setdefault(question, mine)
        if found is not mine:
            if mine.begun - found.begun < ABANDONED_AFTER or found.done.is_set():
                return found
            line.asked[question] = mine
        if (
            threading.active_count() > MOST_REQUESTS
            and sum(thread.name == THREAD_NAME for thread in threading.enumerate()) > MOST_REQUESTS
        ):
            mine.fault = f"{MOST_REQUESTS} earlier requests have no answer yet"
        else:
            run = threading.Thread(target=answer, args=(line, question, mine, ask), name=THREAD_NAME, daemon=True)
            try:
                run.start()
            except BaseException as error:
                # No thread, or a signal handler's exception: no caller may wait for what was never asked.
                mine.fault = f"no thread can be started: {error}"
                if not isinstance(error, Exception):
                    line.asked.pop(question, None)
                    raise
            else:
                return mine
        line.asked.pop(question, None)
        mine.done.set()
        return mine

    def _by_id(self, client: Any, subject: str, kind: str, schema_id: int) -> Resolved:
        # With the subject, the registry itself refuses an id that is none of it.
        schema = of_kind(client.get_schema(schema_id, subject, **form_of(kind)), kind)
        text, guid = text_of(schema), None
        if self.schema_id_in == "header":
            # The answer has no GUID, that about the subject's versions has.
            given = client.lookup_schema(subject, schema, False, deleted=True)
            if id_of(given, subject) != schema_id:
                raise ValueError(f"the subject has this schema with the id {given.schema_id}, not {schema_id}")
            guid = guid_of(given)
        return Resolved(checked_id(schema_id), text, guid, referenced(client, schema))

    def _latest(self, client: Any, subject: str, kind: str) -> Resolved:
        given = client.get_latest_version(subject, **form_of(kind))
        schema = of_kind(given.schema, kind)
        return Resolved(id_of(given, subject), text_of(schema), guid_of(given), referenced(client, schema))

    def _put(self, client: Any, subject: str, schema: Schema, is_same: Callable[[str, str], bool] | None) -> Resolved:
        """Register a schema, or look it up."""
        text = str(schema.schema_str)
        ask = client.register_schema_full_response if self._auto_register else client.lookup_schema
        given = ask(subject, schema, self._normalize)
        answer = getattr(given.schema, "schema_str", None)
        if is_same is not None and answer and answer != text and not schema.references and not is_same(answer, text):
            raise ValueError("the answer is about another schema")
        return Resolved(id_of(given, subject), text, guid_of(given))

    def _with_imports(
        self, client: Any, files: Sequence[Any], imports: Sequence[tuple[Any, str]]
    ) -> list[SchemaReference]:
        """Register the files that the last one imports, or look them up; return what it refers to."""
        from confluent_kafka.schema_registry import Schema, SchemaReference

        known: dict[str, SchemaReference] = {}
        for file, subject in imports:
            schema = Schema(file.text, "PROTOBUF", [known[name] for name in file.imports])
            if self._auto_register:
                client.register_schema(subject, schema, self._normalize)
            given = client.lookup_schema(subject, schema, self._normalize)
            known[file.name] = SchemaReference(file.name, subject, given.version)
        return [known[name] for name in files[-1].imports]

    def __repr__(self) -> str:
        return f"Registry({self.url})"


THREAD_NAME = "twolane-registry"


def answer(line: Line, question: Any, request: Request, ask: Callable[[], Resolved]) -> None:
    """Ask, and wake all callers that wait."""
    try:
        request.answer = line.known[question] = ask()
    except Exception as error:  # noqa: BLE001 - the client lets through whatever its HTTP library raises
        # Cut first: looking for secrets in what a registry says takes longer than in proportion to its length.
        request.fault = line.hide(without_urls(str(error)[:MOST_TEXT])) or type(error).__name__
        if isinstance(error, ValueError) and hasattr(line.client, "clear_caches"):
            line.client.clear_caches()  # else it would give the refused answer again, as that of this subject
    finally:
        if line.asked.get(question) is request:
            line.asked.pop(question, None)
        request.done.set()


def form_of(kind: str | None) -> dict[str, str]:
    """Return how to ask for schemas of a kind: Protobuf's as descriptors, in whatever form they were registered."""
    return {"fmt": "serialized"} if kind == "PROTOBUF" else {}


def of_kind(schema: Any, kind: str) -> Any:
    """Return a schema if it is of this kind: a text such as ``{"type": "string"}`` means something in each of them."""
    if schema.schema_type != kind:
        raise ValueError(f"expected a schema of type {kind}, got {schema.schema_type}")
    return schema


def text_of(schema: Any) -> str:
    """Return the text of a schema that the registry answers."""
    if not isinstance(schema.schema_str, str):
        raise ValueError(f"expected the text of a schema, got {shown(schema.schema_str)}")
    return schema.schema_str


def guid_of(registered: Any) -> str | None:
    """Return the GUID that the registry answers; None of one that gives none."""
    guid = getattr(registered, "guid", None)
    if guid is None:
        return None
    try:
        return str(UUID(guid))
    except (ValueError, TypeError, AttributeError):
        raise ValueError(f"expected a GUID, got {shown(guid)}") from None


def id_of(registered: Any, subject: str) -> int:
    """Return the id that the registry answers, if the answer is about the subject that was asked for."""
    answer = registered.subject
    # A subject outside the default context comes with the context that the URL names.
    if (
        isinstance(answer, str)
        and answer != subject
        and re.sub(r"^:\.[^:]*:", "", answer) != re.sub(r"^:\.[^:]*:", "", subject)
    ):
        raise ValueError(f"the answer is about another subject, {answer!r}")
    return checked_id(registered.schema_id)


def referenced(client: Any, schema: Schema) -> tuple[tuple[str, str], ...]:
    """Return name and text of each schema that a schema refers to, and of those that they refer to."""
    found: list[tuple[str, str]] = []
    seen: set[Any] = set()

    def collect(schema: Schema, depth: int) -> None:
        for reference in schema.references or ():
            place = (reference.subject, reference.version)
            if place in seen:
                continue
            seen.add(place)
            if len(seen) > MOST_REFERENCES or depth >= DEEPEST_REFERENCE:
                raise ValueError(f"more than {MOST_REFERENCES} references, or {DEEPEST_REFERENCE} in a row")
            registered = client.get_version(reference.subject, reference.version, **form_of(schema.schema_type))
            id_of(registered, str(reference.subject))
            found.append((str(reference.name), text_of(registered.schema)))
            collect(registered.schema, depth + 1)

    collect(schema, 0)
    return tuple(found)


def _may_be_pickled(key: str, value: Any) -> bool:
    """Return whether a setting of a client holds no secret for sure."""
    if isinstance(value, str):
        return masked(key, value) == value
    return value is None or isinstance(value, (bool, int, float))


def _remade(settings: dict[str, Any], options: dict[str, Any]) -> Registry:
    """Make a registry anew in another process, with a client of its own."""
    return Registry(settings, **options)


def configuration(client: Any) -> Mapping[str, Any]:
    """Return a client's configuration, or nothing where it is not known."""
    configured = client if isinstance(client, Mapping) else getattr(client, "_conf", None)
    return configured if isinstance(configured, Mapping) else {}


def open_client(client: Any) -> tuple[Any, str, Hider]:
    """Return a client, the URL to show for it, and what takes secrets out of texts."""
    if not isinstance(client, Mapping):
        if not hasattr(client, "register_schema"):
            raise ConfigError(f"registry: expected a SchemaRegistryClient or its configuration, got {type(client)}")
        known = configuration(client)
        return client, without_credentials(str(known.get("url", "?"))), hider(known)
    try:
        from confluent_kafka.schema_registry import SchemaRegistryClient
    except ImportError as error:
        raise ConfigError(
            f"a registry needs `pip install confluent-kafka[schemaregistry]`: {error}", key="schema.registry"
        ) from error
    hide, shown = hider(client), without_credentials(str(client.get("url", "")))
    try:
        made = SchemaRegistryClient.new_client(dict(client))
        check_answers(made)
        return made, shown, hide
    except (ValueError, TypeError, AttributeError, OSError) as error:
        reason, key = hide(without_urls(str(error))), "url"
        if isinstance(error, OSError):
            # Of certificates and keys; Python's error says of none which.
            files = [name for name in client if str(name).endswith(".location")]
            key = next((name for name in files if not Path(str(client[name])).is_file()), (files or [key])[0])
            reason += f" ({', '.join(f'{name}={client[name]}' for name in files)})"
    # Outside of the clause: the error's own text may hold what is hidden here.
    raise ConfigError(f"schema registry at {shown}: {reason}", key=key)


def hider(settings: Mapping[Any, Any]) -> Hider:
    """Return what takes the secrets of a client's configuration out of texts."""
    return Hider({str(key): value for key, value in settings.items() if isinstance(value, str)})
