"""How Sphinx makes the site: ``make docs``."""

import shutil
from importlib.metadata import version as version_of
from pathlib import Path

project = "salmask_plugin"
author = "The salmask_plugin authors"
copyright = author
release = version_of("salmask-plugin")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
root_doc = "site"
exclude_patterns = ["_build", "index.md", "results/study.md", "results/*/study.md"]
html_theme = "furo"
html_title = "salmask_plugin"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_mock_imports = ["solo", "lightning"]
napoleon_google_docstring = True
napoleon_use_ivar = True


def setup(app):
    """Let the first page be found under the name that servers look for."""
    app.connect("build-finished", _first_page)


def _first_page(app, error):
    if error is None and app.builder.format == "html":
        shutil.copyfile(Path(app.outdir) / "site.html", Path(app.outdir) / "index.html")
