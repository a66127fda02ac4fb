"""Sphinx: this folder's pages, and the reference from the docstrings. ``make docs``."""

import re
from importlib.metadata import version as installed

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

import twolane
import twolane.errors
import twolane.testing

project = "twolane"
version = release = installed("twolane")
copyright = "The twolane developers"  # noqa: A001 - Sphinx's name

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_heading_anchors = 3
napoleon_google_docstring = False
# Attributes are listed once, from their section.
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Compiled modules carry their signature in the first line of the docstring.
autodoc_docstring_signature = True
default_role = "code"
# Blocks without a language are shell commands, files and what they print.
highlight_language = "text"

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = f"twolane {version}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]

PLACES = dict.fromkeys(twolane.__all__, "twolane")
PLACES |= {name: "twolane.errors" for name in PLACES if name in vars(twolane.errors)}
PLACES |= dict.fromkeys(twolane.testing.__all__, "twolane.testing")
PLACES["Verdict"] = "twolane"
NAME = re.compile(r"(twolane(?:\.[a-z_]+)*\.)?(\w+)(\.\w+)?(?:\(.*\))?")


def setup(app: Sphinx) -> None:
    """Have a public name in code font lead to its docstring, on whichever page."""
    app.connect("doctree-read", link_names)


def link_names(app: Sphinx, doctree: nodes.document) -> None:
    """Make references of the literals that name something public."""
    for literal in list(doctree.findall(nodes.literal)):
        parent = literal.parent
        if isinstance(parent, nodes.title | nodes.reference | pending_xref):
            continue
        target = target_of(literal)
        if not target:
            continue
        reference = pending_xref(
            "",
            refdomain="py",
            reftype="obj",
            reftarget=target,
            refexplicit=True,
            refwarn=False,
            refdoc=app.env.docname,
        )
        parent.replace(literal, reference)
        reference += literal


def target_of(literal: nodes.literal) -> str:
    """Return the full name of what a literal names; "" if it names nothing public."""
    match = NAME.fullmatch(literal.astext())
    if not match:
        return ""
    module, name, member = match.groups()
    if module or name in PLACES:
        return f"{module or PLACES[name] + '.'}{name}{member or ''}"
    # In the reference, methods stand under their class.
    section = literal
    while section is not None and not isinstance(section, nodes.section):
        section = section.parent
    title = section.next_node(nodes.title).astext() if section is not None else ""
    is_method = title.startswith("twolane.") and not member
    owner = title.rpartition(".")[2]
    if is_method and owner in PLACES:
        return f"{PLACES[owner]}.{owner}.{name}"
    return f"{title}.{name}" if is_method else ""
