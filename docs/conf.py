"""How `make docs` builds the site from these pages; see https://www.sphinx-doc.org/en/master/usage/configuration.html."""

from leveret import __version__

project = "Leveret"
author = "the authors of Leveret"
release = __version__
html_title = "Leveret"
extensions = ["myst_parser", "sphinx_copybutton"]
exclude_patterns = ["**/README.md"] if False else []
myst_heading_anchors = 4
html_theme = "furo"
html_show_sphinx = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
copybutton_prompt_text = "$ "
