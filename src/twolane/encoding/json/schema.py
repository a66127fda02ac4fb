"""JSON Schema: the text of a schema, and whether records fit it, by the library jsonschema."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from twolane.encoding.avro.schema import read_file
from twolane.encoding.json_text import parsed
from twolane.encoding.mismatch import Mismatch
from twolane.errors import ConfigError, SerializationError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from twolane.batch import EncodedBatch


def schema_text(schema: Any) -> str | None:
    """Return the JSON text of a schema: a text, a dict or bool, a file, or a `Schema` of confluent_kafka; None of None.

    Raises
    ------
    SerializationError
        If it is no JSON object and no boolean.
    """
    if schema is None:
        return None
    if hasattr(schema, "schema_str"):
        schema = schema.schema_str
    if isinstance(schema, os.PathLike):
        schema = read_file(schema)
    try:
        if isinstance(schema, bytes):
            schema = schema.decode()
        text = schema.removeprefix("\ufeff") if isinstance(schema, str) else json.dumps(schema)
        read = parsed(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise SerializationError(f"expected a JSON schema: {error}") from None
    if not isinstance(read, (dict, bool)):
        raise SerializationError("expected a JSON schema, an object or a boolean", value=read)
    return text


def make_validator(text: str, referenced: Iterable[tuple[str, str]]) -> Callable[[bytes], Mismatch | None]:
    """Make the function that returns how the JSON of one record breaks a schema, or None.

    Parameters
    ----------
    text : str
        Of the schema. Its ``$schema`` names the draft, 2020-12 without it.
    referenced : iterable of (str, str)
        Name, as ``$ref`` has it, and text of each other schema. Nothing is fetched from anywhere.

    Raises
    ------
    ConfigError
        If jsonschema is not installed.
    SerializationError
        If it is no valid JSON Schema, or of an unknown draft.
    """
    try:
        from jsonschema.exceptions import SchemaError, best_match  # type: ignore[import-untyped]
        from jsonschema.validators import Draft202012Validator, validator_for  # type: ignore[import-untyped]
        from referencing import Registry, Resource
        from referencing.exceptions import Unresolvable
        from referencing.jsonschema import DRAFT7
    except ImportError as error:
        raise ConfigError(f"validate=True needs `pip install twolane[jsonschema]`: {error}", key="validate") from error
    schema = json.loads(text)
    is_named = isinstance(schema, dict) and "$schema" in schema
    kind = validator_for(schema, default=None if is_named else Draft202012Validator)
    if kind is None:
        raise SerializationError("expected a JSON schema of a draft that jsonschema knows", value=schema["$schema"])
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise SerializationError(f"expected a valid JSON schema: {shown(error.message)}") from None
    others = [(name, Resource.from_contents(parsed(other), DRAFT7)) for name, other in referenced]
    validator = kind(schema, registry=Registry().with_resources(others))

    def check(record: bytes) -> Mismatch | None:
        try:
            error = best_match(validator.iter_errors(json.loads(record)))
        except Unresolvable as unknown:
            raise SerializationError(f"the schema refers to what is not known: {shown(str(unknown))}") from None
        except RecursionError:
            raise SerializationError(
                "the schema refers to itself without end, or the record is nested too deep"
            ) from None
        if error is None:
            return None
        found = Mismatch(
            f"what the schema says of {error.validator!r} ({shown(error.validator_value)})", error.instance
        )
        found.path = list(reversed(error.absolute_path))
        return found

    return check


def check_records(check: Callable[[bytes], Mismatch | None], records: EncodedBatch, start: int = 0) -> None:
    """Raise a SerializationError for the first record that breaks the schema; `start` is the first one's index."""
    for index, record in enumerate(records, start):
        found = None if record is None else check(record)
        if found is not None:
            raise found.as_error(index, None)
