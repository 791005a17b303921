"""Every technique has a page whose recipe can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgewright.recipe import OWN_TECHNIQUES, load_recipe

PAGES = Path(__file__).resolve().parents[2] / "docs/techniques"


@pytest.mark.parametrize("name", OWN_TECHNIQUES)
def test_the_page_holds_a_recipe_that_uses_it(name: str, tmp_path: Path) -> None:
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    recipes = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert recipes
    for number, text in enumerate(recipes):
        path = tmp_path / f"recipe{number}.toml"
        path.write_text(text, encoding="utf-8")
        assert name in [step.technique for step in load_recipe(path).steps]
    assert "**Saves**" in page and "**Fails**" in page


def test_the_index_names_every_page() -> None:
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in PAGES.glob("*.md")} - {"README.md"}
    assert {f"{name}.md" for name in OWN_TECHNIQUES} == pages
    assert all(f"]({page})" in index for page in pages)
