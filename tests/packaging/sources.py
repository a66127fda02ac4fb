"""The project's files as the packaging tests see them."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CYTHON_FROM = re.compile(r"^[ \t]*from[ \t]+([\w.]+)[ \t]+c?import\b[ \t]*(.*)", re.M)
CYTHON_IMPORT = re.compile(r"^[ \t]*c?import[ \t]+([\w.]+(?:[ \t]*,[ \t]*[\w.]+)*)", re.M)
STRINGS = re.compile(r'"""(?:.|\n)*?"""')


@cache
def tracked() -> tuple[Path, ...]:
    """Return every file of the project, relative to its root: what git tracks or would."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, check=False, text=True)
    if listed.returncode:
        pytest.skip("not a git work tree", allow_module_level=True)
    return tuple(sorted({Path(name) for name in listed.stdout.splitlines() if (ROOT / name).is_file()}))


def sources(*suffixes: str, below: str = "") -> list[Path]:
    """Return the tracked files with one of these suffixes, below a folder."""
    return [path for path in tracked() if path.suffix in suffixes and path.as_posix().startswith(below)]


def module_name(path: Path) -> str:
    """Return a source's module: ``ext/twolane/produce/record_slice.pxd`` is ``twolane.produce.record_slice``."""
    parts = path.with_suffix("").parts
    parts = parts[1:] if parts[0] in ("ext", "src") else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> set[str]:
    """Return the modules that a source names in imports and cimports; not those for type checkers alone."""
    text = (ROOT / path).read_text()
    if path.suffix not in (".pyx", ".pxd"):
        return set(_python_imports(ast.parse(text)))
    code = STRINGS.sub("", text)
    found = {name.strip() for names in CYTHON_IMPORT.findall(code) for name in names.split(",")}
    for module, names in CYTHON_FROM.findall(code):
        found |= _named(module, re.findall(r"(\w+)(?:\s+as\s+\w+)?", names))
    return found


def _named(module: str, names: list[str]) -> set[str]:
    """Return what ``from module import names`` imports: ``from twolane import verdicts`` names a module of ours."""
    return {f"{module}.{name}" for name in names} if module in {"faults", "twolane"} else {module}


def _python_imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= _named(node.module or "", [alias.name for alias in node.names])
        else:
            found |= _python_imports(node)
    return found
