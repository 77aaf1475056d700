"""The report as a web page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lineal.views.reproduction_page import reproduction_page

DOCUMENTS = Path(__file__).parents[2] / "cli" / "documents"


def document(name: str) -> dict[str, Any]:
    return dict(json.loads((DOCUMENTS / f"{name}.json").read_text()))


class Page(HTMLParser):
    """The tags and the words of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [str(value) for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize(
    "name", ["reproduce", "reproduce_different", "reproduce_impossible", "reproduce_planned"]
)
def test_the_page_says_what_the_document_says_and_needs_nothing_else(name: str) -> None:
    shown = document(name)

    page = Page(reproduction_page(shown))

    assert "script" not in page.tags
    assert page.links == []
    assert (shown["verdict"] or "planned").replace("_", " ") in page.words
    expected = [one["expected"] for one in shown["artifacts"]] + shown["causes"] + shown["notes"]
    assert all(text in page.words for text in expected)


def test_what_others_wrote_is_text_and_never_markup() -> None:
    hostile = "<script>alert(1)</script>\x1b[2J"
    shown = document("reproduce_different")
    shown["name"] = hostile
    shown["artifacts"][0]["detail"] = hostile

    page = Page(reproduction_page(shown))

    assert "script" not in page.tags
    assert "alert(1)" in page.words
    assert "\x1b" not in page.words
