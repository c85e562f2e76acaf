# ruff: noqa: INP001 - a configuration, not a module
"""The documentation as a site: `make docs`. The pages are plain Markdown that reads as well in the repository.

The source folder is the repository, so that links from README and CONTRIBUTING, and links to files, are checked, too.
"""

from __future__ import annotations

from pygments.lexers.data import JsonLexer
from pygments.lexers.python import PythonLexer
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

from edgesched import __version__

project = "edgesched"
version = release = __version__
author = "the maintainers of edgesched"

extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**.md", "examples/README.md"]
exclude_patterns = ["build", ".*", "docs/_templates", "edgesched", "tests", "bench", "deploy", "tools"]
# anchors of headings as everywhere where Markdown is shown
myst_heading_anchors = 4
# indented blocks are commands, tables and drawings of many kinds
highlight_language = "none"

html_theme = "furo"
html_title = f"edgesched {release}"
html_additional_pages = {"index": "home.html"}
templates_path = ["_templates"]
html_copy_source = False
html_show_sphinx = False

# the order of the site; a page that is in no list is an error
CONTENTS = {
    "Scientists": ["docs/tutorial", "docs/jobs", "docs/rule-language", "examples/README"],
    "Operators": [
        "docs/operators",
        "docs/kubernetes",
        "docs/admission",
        "docs/durability",
        "docs/logs",
        "docs/metrics",
        "docs/security",
    ],
    "Sites": ["docs/cloud*"],
    "Developers": [
        "CONTRIBUTING",
        "docs/architecture",
        "docs/test-clusters",
        "docs/benchmarks",
        "docs/adr/README",
        "docs/adr/0*",
        "CHANGELOG",
    ],
}
# tests run what stands in these blocks; a condition reads as Python does
LEXERS = {"rules": TextLexer, "refused": TextLexer, "conditions": PythonLexer, "ndjson": JsonLexer}


def _add_contents(_: Sphinx, page: str, source: list[str]) -> None:
    """Put the table of contents behind the first page, where only the site shows it."""
    if page == root_doc:
        for caption, pages in CONTENTS.items():
            listed = "\n".join(pages)
            source[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n:caption: {caption}\n\n{listed}\n```\n"


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _add_contents)
    for name, lexer in LEXERS.items():
        app.add_lexer(name, lexer)
