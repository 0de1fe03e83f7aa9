"""Parts of the page's text: legends, findings, panels of the paper, entries of the bibliography."""
