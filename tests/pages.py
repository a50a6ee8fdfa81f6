"""Looking at a page as a reader would: one language at a time, and nothing fetched."""

import base64
import hashlib
import re
from xml.etree import ElementTree as ET


def tree_of(text: str) -> ET.Element:
    """Return the tree of a text; an error when it is not well-formed."""
    return ET.fromstring(text)  # noqa: S314 - our own


def parsed(page: str) -> ET.Element:
    """Return the page's tree; an error when it is not well-formed."""
    assert page.startswith("<!DOCTYPE html>\n")
    return tree_of(page.removeprefix("<!DOCTYPE html>\n"))


def words(page: str, language: str) -> str:
    """Return what a reader of one language sees."""
    other = {"ko": "en", "en": "ko"}[language]

    def seen(element: ET.Element) -> str:
        if element.get("lang") == other or element.tag in ("style", "title", "input", "label"):
            return element.tail or ""
        return f"{element.text or ''} {' '.join(map(seen, element))} {element.tail or ''}"

    return " ".join(seen(parsed(page)[1]).split())


def assert_stands_alone(page):
    """Assert that nothing is fetched, and nothing runs but the choice of a language: no address but as a text, no file."""
    tree = parsed(page)
    assert re.findall(r"@import|url\((?!#)|javascript:", page) == []
    tags = {element.tag for element in tree.iter()}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "base", "form"})
    attributes = {name for element in tree.iter() for name in element.attrib}
    assert attributes.isdisjoint({"src", "href", "action", "srcset", "onclick", "onload"})
    assert not any(
        re.search(r"(?:https?:)?//\w", value) for element in tree.iter() for value in element.attrib.values()
    )
    handlers = [(e.tag, name, text) for e in tree.iter() for name, text in e.attrib.items() if name.startswith("on")]
    [(tag, event, script)] = handlers
    assert (tag, event) == ("body", "onpageshow")
    assert not re.search(r"fetch|import|cookie|storage|location|eval|innerHTML", script, re.IGNORECASE)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    [policy] = [e.get("content") for e in tree.iter("meta") if e.get("http-equiv") == "Content-Security-Policy"]
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-hashes' 'sha256-{digest}'"


def assert_in_both_languages(page):
    """Assert that each Korean text has its English one beside it."""
    for parent in parsed(page).iter():
        languages = [child.get("lang") for child in parent if child.get("lang")]
        assert languages == ["ko", "en"] * (len(languages) // 2)
