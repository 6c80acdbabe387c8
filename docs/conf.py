"""Sphinx: python -m sphinx -W docs docs/_build (extra `docs`)."""

project = "semcore"
author = "the semcore authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = True
