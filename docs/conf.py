"""Sphinx configuration: `make docs` writes docs/_build/html."""

# ruff: noqa: INP001 - Sphinx runs this file, nobody imports it
import ridgeline

project = "Ridgeline"
author = "The Ridgeline maintainers"
version = release = ridgeline.__version__

extensions = ["myst_parser"]
root_doc = "index"
exclude_patterns = ["_build"]
myst_heading_anchors = 3  # so that links to #headings work as they do on a forge
nitpicky = True

html_theme = "furo"
html_title = f"Ridgeline {release}"
html_copy_source = False
