"""What may lie in the project's tree, and what its documents have to speak of."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from bench.demo import readme as demo_figures
from tests.packaging import reference
from tests.packaging.sources import ROOT, imported, module_name, sources, tracked

MOST_LINES = 600
GENERATED = (".so", ".pyd", ".o", ".jar", ".whl", ".class", ".pyc")
# Somebody's machine: home and work folders.
MACHINE_PATH = re.compile(r"(?<![\w.}$~-])/(?:root|home|Users|work)/[\w.-]")
# Arguments that mean the same everywhere.
PLAIN = {"self", "topic", "timeout", "registry", "schema_id"}
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?[^)]*\)")
PYTHON = re.compile(r"^```py.*\n((?:.*\n)*?)```", re.M)
WIDEST_CODE = 88


def read(path: Path | str) -> str:
    return (ROOT / path).read_text()


def test_a_source_can_be_read_in_one_sitting() -> None:
    assert not [path for path in sources(".py", ".pyi", ".pyx", ".pxd") if len(read(path).splitlines()) > MOST_LINES]


def test_a_thread_has_no_private_attributes_of_ours() -> None:
    """Python's own may have the name one day: 3.13's Thread has a `_handle`, and one that we set broke its start."""
    found = [
        f"{path}:{node.lineno}"
        for path in sources(".py")
        for a_class in ast.walk(ast.parse(read(path)))
        if isinstance(a_class, ast.ClassDef) and any(ast.unparse(base).endswith("Thread") for base in a_class.bases)
        for node in ast.walk(a_class)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr.startswith("_")
    ]
    assert not found


def test_nothing_generated_is_tracked() -> None:
    assert not [path for path in tracked() if path.suffix in GENERATED or {"build", "dist", ".venv"} & set(path.parts)]
    assert not sources(".c", ".cpp", ".html", below="ext/"), "Cython's output"


def test_a_file_names_no_machine() -> None:
    contents = {path: (ROOT / path).read_bytes().decode(errors="replace") for path in tracked()}
    assert not {path: found for path, content in contents.items() if (found := MACHINE_PATH.findall(content))}


def test_a_compiled_module_that_python_imports_has_a_stub() -> None:
    compiled = {module_name(path) for path in sources(".pyx", below="ext/")}
    used = compiled & {name for path in sources(".py") for name in imported(path)}
    assert used <= {module_name(path) for path in sources(".pyi", below="src/")}


# ---- documents -------------------------------------------------------------------------------------------------------


def test_links_lead_somewhere() -> None:
    links = [(path, link) for path in sources(".md") for link in LINK.findall(read(path)) if "://" not in link[0]]
    assert not [(path, link) for path, link in links if not _leads_somewhere(path, *link)]


def _leads_somewhere(path: Path, target: str, heading: str) -> bool:
    there = ROOT / path.parent / target if target else ROOT / path
    return there.exists() and (not heading or heading in _headings(there.read_text()))


def _headings(text: str) -> set[str]:
    """Return the anchors that repository pages and the site make of a page's headings."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)", text, re.M)
    }


def test_code_of_the_pages_fits_beside_the_table_of_contents() -> None:
    blocks = [(path, code) for path in sources(".md", below="docs/") for code in PYTHON.findall(read(path))]
    assert not [(path, line) for path, code in blocks for line in code.splitlines() if len(line) > WIDEST_CODE]


def test_the_file_map_names_every_module() -> None:
    page = read("docs/architecture.md")
    paths = sources(".pyx", ".py", below="ext/") + sources(".py", below="src/")
    names = {path.with_suffix("").name for path in paths} - {"__init__"}
    assert not {name for name in names if not re.search(rf"`(?:[\w/]+/)?{re.escape(name)}(?:\.\w+)?`", page)}


def test_the_walks_name_functions_that_exist() -> None:
    named = set(re.findall(r"`([a-z_/]+):(\w+)`", read("docs/architecture.md")))
    assert len(named) > 20
    assert not {(path, name) for path, name in named if not _defines(path, name)}


def _defines(path: str, name: str) -> bool:
    files = [
        ROOT / wing / "twolane" / f"{path}{end}" for wing, end in (("src", ".py"), ("ext", ".pyx"), ("ext", ".pxd"))
    ]
    pattern = re.compile(rf"^\s*(?:async )?(?:def|cdef|cpdef)\b[^=]*?\b{name}\(", re.M)
    return any(pattern.search(file.read_text()) for file in files if file.exists())


def declared() -> set[str]:
    """Return the names of all packages that pyproject.toml asks for."""
    project = tomllib.loads(read("pyproject.toml"))
    groups = [entry for group in project["dependency-groups"].values() for entry in group if isinstance(entry, str)]
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"], *groups]
    return {re.split(r"[\s<>=!~;\[]", entry)[0].lower() for entry in wanted}


def test_every_dependency_has_its_reason() -> None:
    reasons = read("docs/dependencies.md").lower()
    assert not {name for name in declared() if f"`{name}`" not in reasons}


def test_every_import_comes_from_a_declared_package() -> None:
    names = {name.partition(".")[0] for path in sources(".py", ".pyx") for name in imported(path)}
    own = {"bench", "cpython", "faults", "cython", "libc", "libcpp", "tests", "twolane"}
    own |= {path.stem for path in sources(".py", below="examples/")}  # a program and what lies beside it
    package_of = {
        "arrow_kafka_pyo3": "arrow-kafka-pyo3",
        "confluent_kafka": "confluent-kafka",
        "docutils": "sphinx",
        "elftools": "pyelftools",
        "google": "protobuf",
        "kafka": "kafka-python",
        "opentelemetry": "opentelemetry-sdk",
        "prometheus_client": "prometheus-client",
        "yaml": "pyyaml",
    }
    outside = {package_of.get(name, name).lower() for name in names - own - sys.stdlib_module_names}
    assert outside <= declared()


def test_every_setting_with_a_rule_is_explained() -> None:
    from twolane.config.policy import SAFE, THROUGHPUT

    page = read("docs/configuration.md")
    parts = [part for lane in (SAFE, THROUGHPUT) for part in (lane.defaults, lane.rules, lane.refused)]
    settings = {key for part in parts for key in part}
    assert not {key for key in settings if f"`{key}`" not in page}


def test_every_word_of_the_makefile_is_explained() -> None:
    makefile = read("Makefile")
    listed = re.search(r"^\.PHONY:((?:.*\\\n)*.*)", makefile, re.M)
    assert listed
    for word in listed.group(1).replace("\\\n", " ").split():
        assert re.search(rf"^{word}:.*  ## .", makefile, re.M), word


def test_the_readme_shows_the_newest_demo() -> None:
    assert demo_figures.text(demo_figures.newest()) in read("README.md"), "run python -m bench.demo.readme"


# ---- the public surface ----------------------------------------------------------------------------------------------


def public() -> list[tuple[str, Any]]:
    """Return every public name of the package, and the public methods of its classes."""
    found: list[tuple[str, Any]] = []
    for module in ("twolane", "twolane.testing"):
        package = importlib.import_module(module)
        for name in package.__all__:
            value = getattr(package, name)
            if not (inspect.isclass(value) or callable(value)):
                continue
            found.append((f"{module}.{name}", value))
            if inspect.isclass(value):
                found += [
                    (f"{module}.{name}.{member}", part)
                    for member, part in inspect.getmembers(value)
                    if not member.startswith("_") and inspect.isroutine(part) and _is_ours(part)
                ]
    return found


def _is_ours(part: Any) -> bool:
    return (getattr(part, "__module__", None) or "").startswith("twolane")


def test_the_reference_has_every_public_name() -> None:
    page, again = read("docs/api.md"), "run python -m tests.packaging.reference docs/api.md"
    assert _names(page) == _names(reference.on_page(page)), again


def _names(page: str) -> list[str]:
    return re.findall(r"^(?:###|-) `([\w.]+)", page, re.M)


def test_the_site_has_the_docstring_of_every_public_name() -> None:
    page = read("docs/docstrings.md")
    whole = [module for module in ("twolane.errors", "twolane.testing") if f".. automodule:: {module}" in page]
    shown = {name for module in whole for name in vars(importlib.import_module(module))}
    names = {name for found in reference.sections().values() for _, name, _ in found}
    assert not [name for name in names - shown if not re.search(rf":: (twolane\.)?([a-z_.]*\.)?{name}$", page, re.M)]


def test_public_names_are_documented() -> None:
    faults = {name: fault for name, value in public() if (fault := _fault_of_docstring(value))}
    assert not faults


def _fault_of_docstring(value: Any) -> str:
    text = re.sub(r"^\w+\(.*\)\n+", "", inspect.getdoc(value) or "")  # Cython puts the signature first
    if not text.partition("\n")[0].endswith("."):
        return "the first line is not one sentence"
    # Exceptions and what calls return are not made by users.
    is_made_by_users = not inspect.isclass(value) or _is_ours(getattr(value, "__init__", None))
    if is_made_by_users and "Made by" not in text and not (inspect.isclass(value) and issubclass(value, Exception)):
        arguments = set(inspect.signature(value).parameters) - PLAIN
        missing = {name for name in arguments if name not in text}
        return f"nothing about {', '.join(sorted(missing))}" if len(arguments) >= 3 and missing else ""
    return ""


# ---- docstrings ------------------------------------------------------------------------------------------------------

# A docstring says what a function does: "Return", "Send", "Raise". Other beginnings, and weaker words for Return:
NO_BEGINNING = {
    "A",
    "An",
    "Give",
    "Gives",
    "How",
    "Returns",
    "Tell",
    "Tells",
    "The",
    "This",
    "What",
    "Where",
    "Whether",
    "Who",
}


def test_docstrings_of_functions_begin_with_what_they_do() -> None:
    found = []
    for path in sources(".py", below="src/"):
        for node in ast.walk(ast.parse(read(path))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            is_value = any(re.search("property|fixture", ast.unparse(one)) for one in node.decorator_list)
            text = ast.get_docstring(node)
            if text and not is_value and text.split()[0] in NO_BEGINNING:
                found.append(f"{path}:{node.lineno} {text.splitlines()[0]}")
    assert not found
