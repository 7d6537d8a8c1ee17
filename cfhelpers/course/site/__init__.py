"""The course as a static site: its executed notebooks, its figures and its reference, readable without a network.

``building``
    Lays out what Sphinx reads below ``build/site-source``, runs it, and checks what came out.
``checking``
    Broken links, figures without alternative text, and addresses that a page would fetch from elsewhere.
``conf``
    Sphinx's own settings; Sphinx reads this file.
``explore.js``, ``explore.css``
    The figures that answer without a kernel: a strength is chosen, the stored results are shown.
"""
