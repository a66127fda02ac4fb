"""What docs/api.md says of each public name: ``python -m tests.packaging.reference docs/api.md`` writes it there.

It is made of the docstrings. Sphinx shows them whole (docs/docstrings.md), but only on the site.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- tests/packaging/reference.py: begin -->", "<!-- end -->"

# Where the public names are. A module that is named without them has them in __all__.
SECTIONS: dict[str, dict[str, list[str]]] = {
    "Producers": {
        "twolane": ["SafeProducer", "ThroughputProducer", "AsyncSafeProducer", "AsyncThroughputProducer"],
        "twolane.confluent": [],
        "twolane.confluent.drop_in": ["replace", "undo"],
    },
    "What they return": {
        "twolane": [
            "RecordMetadata",
            "BatchMetadata",
            "TopicsMetadata",
            "RecordDelivery",
            "BatchDelivery",
            "StreamSummary",
            "Stats",
            "TimestampType",
            "Verdict",
        ]
    },
    "What their calls take": {"twolane": ["TopicColumn", "Timestamps", "StreamControl", "pack_timestamps"]},
    "Serializers": {
        "twolane": ["Bytes", "Struct", "Json", "Avro", "Protobuf"],
        "twolane.serializers": ["Serializer", "Source"],
        "twolane.serializers.schema_registry": [],
    },
    "Errors": {"twolane": []},
    "Watching": {
        "twolane.contrib.prometheus": ["ProducerCollector"],
        "twolane.contrib.opentelemetry": ["instrument"],
        "twolane": ["about"],
    },
    "Engines": {
        "twolane.spark": ["register", "Metrics"],
        "twolane.ray": ["KafkaDatasink", "by_key"],
        "twolane.dask": ["to_kafka"],
    },
    "Testing": {"twolane.testing": []},
}


def sections() -> dict[str, list[tuple[str, str, Any]]]:
    """Return the public names by section: module, name, and what it is."""
    named = {name for modules in SECTIONS.values() for names in modules.values() for name in names}
    found = {}
    for title, modules in SECTIONS.items():
        found[title] = []
        for module, names in modules.items():
            package = importlib.import_module(module)
            rest = names or [name for name in package.__all__ if name not in named]
            found[title] += [(module, name, getattr(package, name)) for name in rest]
    return found


def page() -> str:
    """Return the text between the marks."""
    lines = []
    for title, names in sections().items():
        lines += [f"## {title}", ""]
        for module, name, value in names:
            lines += [f"### `{module}.{name}`", "", *_entry(name, value), ""]
    return "\n".join(lines).rstrip() + "\n"


def _entry(name: str, value: Any) -> list[str]:
    if not inspect.isclass(value):
        return [f"`{name}{_arguments(value)}`: {first_sentence(value)}"]
    lines = [first_sentence(value)]
    made_by_users = not issubclass(value, Exception) and "Made by" not in (inspect.getdoc(value) or "")
    if made_by_users and (arguments := _arguments(value)) not in ("", "()"):
        lines += ["", f"`{name}{arguments}`"]
    attributes = re.findall(r"^(\w[\w, ]*?) :", _part(value, "Attributes"), re.M)
    if attributes:
        lines += ["", "Attributes: " + ", ".join(f"`{one}`" for names in attributes for one in names.split(", "))]
    members = [(member, part) for member, part in inspect.getmembers(value) if _is_public(member, part)]
    if members:
        lines += ["", *(_member(member, part) for member, part in members)]
    return lines


def _member(name: str, part: Any) -> str:
    call = "" if isinstance(part, property) else _arguments(part)
    return f"- `{name}{call}`: {first_sentence(part)}"


def _is_public(name: str, part: Any) -> bool:
    """Tell methods and properties of this package from what Python and other packages give a class."""
    if name.startswith("_") or not (inspect.isroutine(part) or isinstance(part, property)):
        return False
    code = part.fget if isinstance(part, property) else part
    return (getattr(code, "__module__", None) or "").startswith("twolane") and bool(inspect.getdoc(part))


def first_sentence(value: Any) -> str:
    """Return a docstring's first line; Cython puts the signature in front of it."""
    text = re.sub(r"^\w+\(.*\)\n+", "", inspect.getdoc(value) or "")
    return text.partition("\n")[0].replace("``", "`").replace("|", r"\|")


def _part(value: Any, title: str) -> str:
    """Return a section of a numpydoc docstring."""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\w[^\n]*\n---|\Z)", inspect.getdoc(value) or "", re.M | re.S)
    return found.group(1) if found else ""


def _arguments(value: Any) -> str:
    """Return the names of the arguments; with ``=`` those that may be left out."""
    try:
        parameters = list(inspect.signature(value).parameters.values())
    except (TypeError, ValueError):
        return "(...)"
    names = []
    for parameter in parameters:
        # What only catches a mistyped argument is none.
        if parameter.name == "mistaken" or (parameter.name in ("self", "cls") and not names):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in names and not any(n.startswith("*") for n in names):
            names.append("*")
        star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        optional = "=" if parameter.default is not parameter.empty else ""
        names.append(f"{star}{parameter.name}{optional}")
    return f"({', '.join(names)})"


def on_page(text: str) -> str:
    """Put the names between their marks."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{page()}\n{END}{rest.split(END, 1)[1]}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(on_page(path.read_text()))
