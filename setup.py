"""Build the compiled modules; everything else about the project stands in pyproject.toml.

Switches, all off by default (environment variables):

- ``TWOLANE_DEBUG=1``: ``-O0 -g3``, C assertions and the accounting checks of the debug build.
- ``TWOLANE_TRACE=1``: line tracing for coverage; the generated C then stays beside the sources.
- ``TWOLANE_SANITIZE=1``: AddressSanitizer and UndefinedBehaviorSanitizer.
- ``TWOLANE_ANNOTATE=1``: Cython's annotated HTML beside the generated C.
- ``TWOLANE_COMPILED=1``: nothing is compiled; for the Makefile's editable install, which would do it all a second time.
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).parent
EXT = Path("ext")


def switch(name: str) -> bool:
    """Tell whether the build switch ``TWOLANE_<name>`` is on."""
    return os.environ.get(f"TWOLANE_{name}", "") not in ("", "0")


DEBUG, TRACE, SANITIZE = switch("DEBUG"), switch("TRACE"), switch("SANITIZE")

directives = {
    "language_level": 3,
    "embedsignature": True,
    "embedsignature.format": "python",
    "warn.undeclared": False,
    "warn.unused": True,
    "warn.maybe_uninitialized": True,
    "linetrace": TRACE,
}
macros: list[tuple[str, str | None]] = [("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")]
if TRACE:
    macros += [("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")]
if DEBUG:
    macros += [("TWOLANE_DEBUG", "1")]

compile_args: list[str] = []
link_args: list[str] = []
if sys.platform != "win32":
    compile_args = ["-O0", "-g3", "-UNDEBUG"] if DEBUG else ["-O3", "-g1"]
    compile_args += ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]
    if SANITIZE:
        flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
        compile_args += flags
        link_args += flags


def extensions() -> list[Extension]:
    """List one extension module per ``.pyx`` below ``ext/``; its folder gives its full name."""
    return [
        Extension(
            ".".join(source.relative_to(EXT).with_suffix("").parts),
            [source.as_posix()],
            define_macros=macros,
            extra_compile_args=compile_args,
            extra_link_args=link_args,
        )
        for source in sorted(EXT.rglob("*.pyx"))
    ]


os.chdir(ROOT)
setup(
    ext_modules=[]
    if switch("COMPILED")
    else cythonize(
        extensions(),
        include_path=[EXT.as_posix()],
        # The coverage plugin finds the generated C only beside its source.
        build_dir=None if TRACE else "build/cython",
        compiler_directives=directives,
        annotate=switch("ANNOTATE"),
        gdb_debug=False,
        show_all_warnings=False,
    ),
)
