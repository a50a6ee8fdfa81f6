"""Whatever a document points to is there: files, headings, sections by name, commands and their options."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sillok import _parser

_ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
# `docs/operate.md` or README, then the section's name in italics.
_SECTION = re.compile(r"`?(README|[\w./-]+\.md)`?,? (?:under |section )?\*([^*\n]+)\*")
_PATH = re.compile(
    r"`((?:docs|tests|deploy|contract|storage|processor|commands|collector_server|loadtest|sdk)/[\w./-]*\w)`"
)
_COMMAND = re.compile(r"`sillok ((?:[a-z]+(?:-[a-z]+)*)(?: [a-z]+(?:-[a-z]+)*)?)([^`]*)`")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def _tracked(pattern: str) -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", pattern], capture_output=True, text=True, check=True, cwd=_ROOT)  # fmt: skip
    return sorted(_ROOT / name for name in done.stdout.splitlines() if (_ROOT / name).exists())


def documents() -> list[Path]:
    if not (_ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    return _tracked("*.md")


def prose(document: Path) -> str:
    return _CODE.sub("", document.read_text(encoding="utf-8"))


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    for heading in _HEADING.findall(prose(document)):
        plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return {f"{slug}-{n}" if n else slug for slug, last in found.items() for n in range(last + 1)}


def broken_links(document: Path) -> Iterator[str]:
    for target in _LINK.findall(prose(document)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (document.parent / path).resolve() if path else document
        if not found.exists():
            yield f"{target}: there is no such file"
        elif anchor and anchor not in anchors(found):
            yield f"{target}: there is no such heading"


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(_ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    assert list(broken_links(document)) == []


def test_a_broken_link_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# One\n## Two words `x`\n# One\n", encoding="utf-8")
    text = "[a](b.md) [b](b.md#two-words-x) [c](b.md#one-1) [d](c.md) [e](b.md#three) [f](#no) [g](https://x.test/y)\n"
    (tmp_path / "a.md").write_text(text, encoding="utf-8")
    assert [found.partition(":")[0] for found in broken_links(tmp_path / "a.md")] == ["c.md", "b.md#three", "#no"]


def test_every_section_that_is_named_is_there() -> None:
    """`README, *reconcile*` names a heading, or a text that stands out, in the document it names."""
    missing = []
    for document in documents():
        for name, section in _SECTION.findall(prose(document)):
            file = "README.md" if name == "README" else name
            place = next((p for p in (document.parent / file, _ROOT / file) if p.exists()), None)
            headings = {h.strip("`*").lower() for h in _HEADING.findall(prose(place))} if place else set()
            if section.lower() not in headings:
                missing.append(f"{document.name}: {name}, *{section}*")
    assert missing == []


def test_every_file_that_is_named_is_there() -> None:
    missing = [
        f"{document.relative_to(_ROOT)}: {path}"
        for document in documents()
        if document.name != "CHANGELOG.md"
        for path in _PATH.findall(prose(document))
        if not (_ROOT / path).exists() and not list(_ROOT.glob(f"{path}*"))
    ]
    assert missing == []


def test_every_document_that_a_program_names_is_there() -> None:
    sources = [*_tracked("*.py"), *_tracked("deploy/*"), *_tracked("*.sql")]
    named = {
        (str(source.relative_to(_ROOT)), path)
        for source in sources
        for path in re.findall(r"docs/[\w/-]+\.md", source.read_text(encoding="utf-8", errors="replace"))
    }
    assert [found for found in sorted(named) if not (_ROOT / found[1]).exists()] == []


def test_every_command_that_is_named_is_one() -> None:
    """With its action, and the options that follow it."""
    parser = _parser()
    commands = parser._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    wrong = []
    for document in documents():
        for words, rest in _COMMAND.findall(document.read_text(encoding="utf-8")):
            name, _, action = words.partition(" ")
            found = commands.get(name)
            text = found.format_help() if found else ""
            groups = found._subparsers._group_actions[0].choices if found and found._subparsers else {}  # type: ignore[union-attr]
            if found is None or (groups and action and action not in groups):
                wrong.append(f"{document.relative_to(_ROOT)}: sillok {words}")
                continue
            text += (
                groups[action].format_help() if action in groups else "".join(g.format_help() for g in groups.values())
            )
            wrong += [
                f"{document.relative_to(_ROOT)}: sillok {words} {o}" for o in _OPTION.findall(rest) if o not in text
            ]
    assert wrong == []
