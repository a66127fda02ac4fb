"""Sphinx: this folder's pages, and the reference from the docstrings. ``make docs``."""

from importlib.metadata import version as installed

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

html_theme = "furo"
html_title = f"twolane {version}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
