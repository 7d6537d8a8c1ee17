"""Sphinx's settings; read by Sphinx from a copy in ``build/site-source``."""

import html
import re
from typing import Any

# Sphinx and docutils come with the extra "site", not with the environment that the types are checked in.
from docutils.utils.math import MathError  # pyright: ignore[reportMissingImports, reportMissingModuleSource]
from docutils.utils.math.latex2mathml import tex2mathml  # pyright: ignore[reportMissingImports, reportMissingModuleSource]

project = "Catastrophic forgetting in language models"
author = "the authors of cfhelpers"
html_title = project
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "sphinx_book_theme"
html_theme_options = {"use_download_button": False, "use_fullscreen_button": False, "show_toc_level": 2}
html_static_path = ["_static"]
html_js_files = ["explore.js"]
html_css_files = ["explore.css"]
html_show_copyright = False
html_copy_source = False
nb_execution_mode = "off"  # the notebooks are executed and committed; the site shows them as they are
nb_merge_streams = True
nb_ipywidgets_js: dict[str, Any] = {}  # a widget has no kernel here; its static figure stands below it
myst_enable_extensions = ["dollarmath", "amsmath", "html_image"]
myst_heading_anchors = 4
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
html_math_renderer = "mathml"
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]


# Sizes of brackets, and another name of the dots, which this converter does not know.
_SIZES = re.compile(r"\\[Bb]igg?[lr]?(?![a-zA-Z])")


def _mathml(node: Any, block: bool) -> str:
    """Formulas become MathML, which browsers draw themselves: no script, no fonts, nothing to fetch."""
    text = _SIZES.sub("", node.astext()).replace("\\dots", "\\ldots")
    if block and ("\\\\" in text or "&" in text) and "\\begin" not in text:
        text = f"\\begin{{aligned}}{text}\\end{{aligned}}"
    try:
        return tex2mathml(text, as_block=block)
    except MathError as error:  # the page still says what was meant, and the check of the pages names it
        return f'<code class="formula-not-drawn" title="{html.escape(str(error))}">{html.escape(text)}</code>'


def _visit_inline(translator: Any, node: Any) -> None:
    translator.body.append(_mathml(node, block=False))
    _leave(node)


def _visit_block(translator: Any, node: Any) -> None:
    translator.body.append(f'<div class="math-block">{_mathml(node, block=True)}</div>')
    _leave(node)


def _leave(node: Any) -> None:
    # Sphinx imports this file with its own environment only.
    from docutils.nodes import SkipNode  # pyright: ignore[reportMissingImports, reportMissingModuleSource]

    raise SkipNode


def _keep_bars(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Absolute values are no substitutions of reStructuredText."""
    lines[:] = [line.replace("|", "\\|") for line in lines]


def setup(app: Any) -> None:
    """Register how formulas are drawn and docstrings are read."""
    app.connect("autodoc-process-docstring", _keep_bars)
    app.add_html_math_renderer("mathml", inline_renderers=(_visit_inline, None), block_renderers=(_visit_block, None))
