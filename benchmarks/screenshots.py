"""Pictures of the report's views, light and dark, at 1280 and 390 pixels: `make screenshots`.

By default of a small run of a tiny random model, which it makes; `--page FILE` takes another page.
`--page runs/smollm2-135m/report.html --top --out docs/images` makes those of the README.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from _browser import browser, first_screen, screenshots
from _recording import tiny_texts

WIDTHS = (1280, 390)
THEMES = ("light", "dark")
VIEWS = ("paper", "explore", "details")
TOP = (1280, 900)
OPEN_FOLDERS = "for (const e of document.querySelectorAll('#view-details details')) e.open = true"


def main() -> None:
    """Write the pictures of every view that the page has."""
    parser = argparse.ArgumentParser(description="Pictures of the report's views.")
    parser.add_argument("--page", type=Path, help="a report; by default of a small run")
    parser.add_argument("--out", type=Path, default=Path("docs/_build/screenshots"))
    parser.add_argument("--open", action="store_true", help="unfold every part of Details")
    parser.add_argument("--top", action="store_true", help="the first screen of two views alone")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, browser() as opened:
        page = (options.page or _small_run(Path(folder))).resolve()
        if options.top:
            for view in VIEWS[:2]:
                path = options.out / f"page-{view}.png"
                print(first_screen(opened, f"{page.as_uri()}#view={view}&theme=light", *TOP, path))
            return
        has_explorer = 'id="data-explore-' in page.read_text(encoding="utf-8")
        for view in VIEWS:
            if view == "explore" and not has_explorer:
                continue
            for theme in THEMES:
                for width in WIDTHS:
                    name = options.out / f"{view}-{theme}-{width}"
                    url = f"{page.as_uri()}#view={view}&theme={theme}"
                    for path in screenshots(
                        opened, url, width, name, setup=OPEN_FOLDERS if options.open else ""
                    ):
                        print(path)


def _small_run(folder: Path) -> Path:
    from transformer_dynamics.experiment import Experiment, Settings

    model, token_lists = tiny_texts(32)
    settings = Settings(n_null=9, n_bootstrap=19, n_twins=1, n_perturbed=2, panels=True)
    Experiment(model, token_lists, folder / "run", settings).run()
    return folder / "run" / "report.html"


if __name__ == "__main__":
    main()
