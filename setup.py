"""Build the compiled modules; everything else about the project stands in pyproject.toml.

Switches, all off by default (environment variables):

- ``TWOLANE_DEBUG=1``: ``-O0 -g3``, C assertions and the accounting checks of the debug build.
- ``TWOLANE_COVERAGE=1``: gcc counts what runs, in lines of the ``.pyx`` and ``.pxd`` files.
- ``TWOLANE_SANITIZE=1``: AddressSanitizer and UndefinedBehaviorSanitizer.
- ``TWOLANE_ANNOTATE=1``: Cython's annotated HTML beside the generated C.
- ``TWOLANE_COMPILED=1``: nothing is compiled; for the Makefile's editable install, which would do it all a second time.

What is built in place keeps its symbols, for profilers and debuggers; what goes into a wheel is stripped. With
``SOURCE_DATE_EPOCH`` set, sdist and wheel are the same bytes every time.
"""

import gzip
import multiprocessing
import os
import sys
import tarfile
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler.Code import UtilityCode
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

ROOT = Path(__file__).parent
EXT = Path("ext")
# Cython's own helpers (memory views most of all), compiled once instead of into every module.
SHARED = "twolane._cython"
# Run once per batch: without -O3 a tenth smaller, and no slower that one could see.
SELDOM = {SHARED, "twolane.batch", "twolane.encoding.column_encoder", "twolane.encoding.avro.plan"}
SELDOM |= {f"twolane.encoding.protobuf.{name}" for name in ("objects", "plan")}
SELDOM |= {f"twolane.encoding.columns.{name}" for name in ("arrow", "table")}
# Run once per producer, topic or schema, or for a row that is refused: the size of the wheel comes first.
RARE = {"twolane._build", "twolane._units", "twolane.reports.events"}
RARE |= {f"twolane.client.{name}" for name in ("handle", "library", "transaction_calls")}
RARE |= {f"twolane.encoding.avro.{name}" for name in ("branches", "suspects")}
RARE |= {f"twolane.encoding.columns.{name}" for name in ("objects", "selection")}
STRIP = "-Wl,-x" if sys.platform == "darwin" else "-Wl,--strip-all"


def switch(name: str) -> bool:
    """Tell whether the build switch ``TWOLANE_<name>`` is on."""
    return os.environ.get(f"TWOLANE_{name}", "") not in ("", "0")


DEBUG, COVERAGE, SANITIZE = switch("DEBUG"), switch("COVERAGE"), switch("SANITIZE")

directives = {
    "language_level": 3,
    "embedsignature": True,
    "embedsignature.format": "python",
    # Nobody pickles what is compiled but the few that say how; Cython would write two methods for each class.
    "auto_pickle": False,
    # Free-threaded Python leaves the GIL off: what it guards elsewhere has critical sections (docs/architecture.md).
    "freethreading_compatible": True,
    "warn.undeclared": False,
    "warn.unused": True,
    "warn.maybe_uninitialized": True,
}
macros: list[tuple[str, str | None]] = [("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")]
if DEBUG:
    macros += [("TWOLANE_DEBUG", "1")]
if COVERAGE:
    macros += [("TWOLANE_COVERAGE", "1")]

compile_args: list[str] = []
link_args: list[str] = []
seldom_args: list[str] = []
rare_args: list[str] = []
if sys.platform == "win32":
    compile_args = ["/O2", "/std:c++17"]  # charconv; not a word to the C compiler
else:
    compile_args = ["-O0", "-g3", "-UNDEBUG"] if DEBUG else ["-O0" if COVERAGE else "-O3", "-g1"]
    if not (DEBUG or COVERAGE):
        seldom_args, rare_args = ["-O2"], ["-Os"]
    compile_args += ["-fvisibility=hidden"]
    compile_args += ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]
    if SANITIZE:
        flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
        compile_args += flags
        link_args += flags
    if COVERAGE:
        # Atomic: threads count the same lines with the GIL released.
        # Cython names its sources from ext/ on, gcovr from here.
        compile_args += ["--coverage", "-fprofile-update=atomic", "-fprofile-prefix-map=twolane=ext/twolane"]
        link_args += ["--coverage"]


class Build(build_ext):
    """Compile on all processors; strip what does not stay in this tree."""

    def finalize_options(self) -> None:
        """Take what the command line leaves open from the machine."""
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()
        # setuptools clears `inplace` while it builds.
        self.stays_here = bool(self.inplace)

    def build_extensions(self) -> None:
        """Compile all modules."""
        if COVERAGE:
            for extension in self.extensions:
                repeat_line_directives(Path(extension.sources[0]))
        if not (self.stays_here or DEBUG or SANITIZE or sys.platform == "win32"):
            for linker in (self.compiler.linker_so, self.compiler.linker_so_cxx):
                # A Python that was built in a folder of its own would leave that folder's path in every module.
                linker[:] = [word for word in linker if not word.startswith(("-L", "-Wl,-rpath"))]
            # C code throws nothing, and a stripped module has no names to show in a backtrace: the tables that
            # unwind its frames are 65 kB of a wheel. Code in C++ keeps them.
            smaller = ["-g0"] + ["-fno-asynchronous-unwind-tables"] * sys.platform.startswith("linux")
            for extension in self.extensions:
                extension.extra_compile_args = [*extension.extra_compile_args, *smaller]
                extension.extra_link_args = [*extension.extra_link_args, STRIP]
        super().build_extensions()


def mend_list_comprehensions() -> None:
    """Have a list comprehension that gets no memory release its item once (F36 in docs/hazards.md).

    Cython 3.3 does it where appending fails, and again where that error is handled. A version that words the helper in
    another way is left alone: tests/common/test_no_memory.py says whether it is right.
    """
    helper = UtilityCode.load_cached("ListCompAppendAndDecref", "Optimize.c")
    helper.impl = helper.impl.replace("    Py_DECREF(x);\n", "    if (likely(result == 0)) Py_DECREF(x);\n")


def repeat_line_directives(source: Path) -> None:
    """Put a line directive of Cython's before every line of C that it is meant for.

    It writes one for a statement of several lines; gcc would count the second as the line that follows in the ``.pyx``.
    """
    directive, lines = "", [""]
    for line in source.read_text().splitlines():
        if line.startswith("#line"):
            directive = line if ".p" in line else ""
        elif directive and line and not lines[-1].startswith("#line") and not lines[-1].endswith("\\"):
            lines.append(directive)
        lines.append(line)
    source.write_text("\n".join(lines[1:]) + "\n")


class Sdist(sdist):
    """The usual sdist, but the same bytes from the same files if ``SOURCE_DATE_EPOCH`` is set."""

    def make_archive(self, base_name: str, format: str, **options: str) -> str:  # noqa: A002
        """Write the archive: sorted, nobody's, all of one time."""
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if epoch is None or format != "gztar":
            return super().make_archive(base_name, format, **options)

        def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = int(epoch)
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            return member

        name = f"{base_name}.tar.gz"
        with (
            Path(name).open("wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=int(epoch)) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            archive.add(options["base_dir"], filter=plain)
        return name


def extensions() -> list[Extension]:
    """List one extension module per ``.pyx`` below ``ext/``; its folder gives its full name."""
    sources = {source.relative_to(EXT).with_suffix(""): source for source in sorted(EXT.rglob("*.pyx"))}
    named = [(".".join(place.parts), source) for place, source in sources.items()]
    # This one Cython writes by itself.
    named.append((SHARED, EXT.joinpath(*SHARED.split(".")).with_suffix(".c")))
    return [
        Extension(
            name,
            [source.as_posix()],
            define_macros=macros,
            extra_compile_args=[
                *compile_args,
                *(seldom_args if name in SELDOM else []),
                *(rare_args if name in RARE else []),
            ],
            extra_link_args=link_args,
        )
        for name, source in named
    ]


# What asks for names and files only is answered without compiling.
COMPILES = sys.argv[1:2] not in (["sdist"], ["egg_info"], ["dist_info"])

os.chdir(ROOT)
mend_list_comprehensions()
if sys.platform == "linux":
    # What is mended in this process is in those that Cython forks, and in no others.
    multiprocessing.set_start_method("fork", force=True)
setup(
    cmdclass={"build_ext": Build, "sdist": Sdist},
    ext_modules=[]
    if switch("COMPILED") or not COMPILES
    else cythonize(
        extensions(),
        include_path=[EXT.as_posix()],
        build_dir="build/cython",
        compiler_directives=directives,
        shared_utility_qualified_name=SHARED,
        annotate=switch("ANNOTATE"),
        emit_linenums=COVERAGE,
        gdb_debug=False,
        nthreads=os.cpu_count() if sys.platform == "linux" else 0,
        show_all_warnings=False,
    ),
)
