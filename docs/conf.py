"""The documentation site. `make docs` builds it into build/docs.

The source of the site is the whole tree, not docs/ alone: then a link from a page to a file is the same on GitHub and
in the site. Pages are the files that ``include_patterns`` names; a link to any other file downloads it.

Tutorials are executed, and the API is read, with the package as users install it: it is built and installed into a
temporary folder first.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

_installed = tempfile.TemporaryDirectory(prefix="rarecall_docs_")
INSTALLED = Path(_installed.name)
_pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]
subprocess.run([*_pip, "--no-index", "--no-build-isolation", "--target", str(INSTALLED), str(ROOT)], check=True)
sys.path.insert(0, str(INSTALLED))
os.environ.update(
    PATH=os.pathsep.join([str(INSTALLED / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    PYTHONPATH=str(INSTALLED),
    RARECALL_TREE=str(ROOT),  # for the tutorial that changes the source
    PYTHONSTARTUP=str(ROOT / "docs" / "kernel.py"),
    IPYTHONDIR=str(INSTALLED / "ipython"),
    JUPYTER_RUNTIME_DIR=str(INSTALLED / "jupyter"),
    OMP_NUM_THREADS="1",  # numbers on the pages do not depend on the cores of the machine
    MPLBACKEND="module://matplotlib_inline.backend_inline",
)
# Kernels tell at each start that they are reached by TCP without encryption, which is by the loopback address alone.
_profile = INSTALLED / "ipython" / "profile_default"
_profile.mkdir(parents=True)
(_profile / "ipython_kernel_config.py").write_text("get_config().IPKernelApp.log_level = 'ERROR'\n")
logging.getLogger("traitlets").setLevel(logging.WARNING)

project = "rarecall"
author = "the rarecall authors"
project_copyright = author
version = release = importlib.import_module("rarecall").__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "configs/README.md",
    "benchmarks/README.md",
    "benchmarks/results/*.md",
    "studies/README.md",
    "studies/results/*.md",
    "results/*/*.md",
]
exclude_patterns = [".*", "docs/_*", "build", "checkpoint", "datasets", "dist", "models", "tests", "utils"]

smartquotes = False  # -- is part of a flag

# --- pages ---------------------------------------------------------------------------------------------------

myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # of result files, whose headings start lower
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 300  # seconds a cell; a machine may be busy
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
nb_render_markdown_format = "myst"


def titled(app: object, page: str, source: list[str]) -> None:
    """Result files begin with the command that made them: their name becomes the title."""
    if "/results/" in page and not re.search(r"^# ", source[0], flags=re.MULTILINE):
        source[0] = f"# {Path(page).stem.replace('_', ' ').capitalize()}\n\n{source[0]}"


# --- API -----------------------------------------------------------------------------------------------------

autodoc_default_options = {"member-order": "bysource"}
autodoc_inherit_docstrings = False  # an override without a docstring does what its base says
autodoc_typehints_format = "short"
napoleon_custom_sections = [("Class attributes", "params_style")]
python_maximum_signature_line_length = 88
highlight_language = "none"  # of blocks that name no language: formulas, commands
# Packages whose own documentation is not at hand without the network, and names that are imported for annotations only.
nitpick_ignore_regex = [
    ("py:.*", r"rarecall\.(config|run_files|system)\..*"),
    ("py:.*", r"(pathlib|torch|nn|np|numpy|npt|sklearn|scipy|collections|typing)\..*"),
    ("py:.*", r"(Tensor|NDArray|ArrayLike|Unpack|Any|Path|Array|Labels|Groups|float64|int64|bool)"),
]
SECTIONS = ("Args:", "Returns:", "Raises:", "Attributes:", "Class attributes:", "Yields:")


def as_typed(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text: formulas become literal blocks, * and | in a line stay what they are."""
    # else napoleon takes what stands before a colon for a type
    result = ["..", ""] if what in ("attribute", "property") else []  # an empty comment
    for paragraph in _paragraphs(lines):
        first = paragraph[0]
        if first in SECTIONS:
            body = map(_escaped, paragraph[1:])
            result += [":returns:" if first == "Returns:" else first, *body, ""]  # types stand in the annotations alone
        elif first.startswith(">>> "):
            result += [*paragraph, ""]
        elif first.startswith("    ") or all("  " in line for line in paragraph):
            if not _last(result).endswith("::"):
                result += ["::", ""]
            result += [*(line if first.startswith("    ") else f"    {line}" for line in paragraph), ""]
        else:
            result += [*map(_escaped, paragraph), ""]
    lines[:] = result


def _paragraphs(lines: list[str]) -> Iterator[list[str]]:
    """Parted at empty lines, and where indented lines begin and end; a section and what it holds are one."""
    found: list[str] = []
    for line in lines:
        parted = not line.strip()
        if found and line.strip() and found[0] not in SECTIONS:
            parted = line.startswith("    ") != found[0].startswith("    ") or line in SECTIONS
        elif found and found[0] in SECTIONS:
            parted = bool(line.strip()) and not line.startswith("    ")
        if parted and found:
            yield found
            found = []
        if line.strip() or found:
            found.append(line)
    if found:
        yield found


def _last(lines: list[str]) -> str:
    return next((line for line in reversed(lines) if line.strip()), "")


def _escaped(line: str) -> str:
    parts = re.split(r"(``.*?``|:\w+:`.*?`)", line)
    # a dot: the name is looked up in every module, as a reader does
    parts[1::2] = [re.sub(r"^(:\w+:`)(?![.~])", r"\1.", part) for part in parts[1::2]]
    parts[::2] = [re.sub(r"([*|`]|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def short(
    app: object, what: str, name: str, obj: object, options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Arrays by the names that the source gives them."""
    array = re.compile(r"ndarray\[tuple\[Any, \.\.\.\], dtype\[(\w+)\]\]")
    return tuple(text and array.sub(r"NDArray[\1]", text) for text in (signature, returned))  # type: ignore[return-value]


def setup(app: Any) -> None:
    app.connect("source-read", titled)
    app.connect("autodoc-process-docstring", as_typed, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", short)


# --- HTML ----------------------------------------------------------------------------------------------------

html_theme = "furo"
html_title = f"rarecall {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_extra"]  # index.html, which leads to the first page
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
# The pages must build without the network; `make docs-links` asks for every address on them.
linkcheck_ignore = [] if os.environ.get("EXTERNAL_LINKS") else [r"https?://"]
linkcheck_timeout = 20
