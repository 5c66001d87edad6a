"""How `make docs` makes a site of these pages. See https://www.sphinx-doc.org/en/master/usage/configuration.html."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from leveret import __version__

project = "Leveret"
author = "the authors of Leveret"
release = __version__

suppress_warnings = ["toc.not_included"]  # recipes and lists are reached from the pages that tell of them
smartquotes = False  # options in running text keep their two dashes
extensions = ["myst_parser", "sphinx_copybutton"]
myst_heading_anchors = 4  # so that links to headings are those that other readers of Markdown make
myst_enable_extensions = ["html_image"]

html_theme = "furo"
html_title = "Leveret"
html_favicon = "../leveret/ui/icon.svg"
html_static_path = ["site"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_theme_options = {"top_of_page_buttons": []}
pygments_style = "friendly"
pygments_dark_style = "monokai"
copybutton_exclude = ".linenos, .gp, .go"
