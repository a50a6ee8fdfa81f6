"""The house's own rules, checked: short modules, no leftovers, one way in."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("contract", "storage", "collector_server", "processor", "commands", "loadtest", "sdk/python/sillok_sdk")
MODULES = [*sorted(p for part in PARTS for p in (ROOT / part).rglob("*.py")), ROOT / "sillok.py"]
MODULE_LINES_MAX = 330
FUNCTION_LINES_MAX = 55
LEFTOVER = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MODULE_LINES_MAX


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_function_fits_on_a_screen(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f.name for f in functions if (f.end_lineno or 0) - f.lineno + 1 > FUNCTION_LINES_MAX]
    assert long == []


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_no_unfinished_mark_is_left(path: Path) -> None:
    assert LEFTOVER.search(path.read_text(encoding="utf-8")) is None


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_nothing_imports_the_command(path: Path) -> None:
    """import-linter cannot see a root of one file."""
    assert re.search(r"^\s*(import sillok\b|from sillok\b)", path.read_text(encoding="utf-8"), re.MULTILINE) is None


@pytest.mark.parametrize("path", sorted((ROOT / "processor" / "sql").glob("*.sql")), ids=_name)
def test_a_statement_says_what_it_reads_and_writes(path: Path) -> None:
    head = path.read_text(encoding="utf-8")
    assert head.startswith("--")
    assert "Reads" in head or path.name == "session.sql"


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md")), *MODULES], ids=_name)
def test_every_path_a_document_names_exists(path: Path) -> None:
    """Modules too: they say which test holds them to what they promise."""
    text = path.read_text(encoding="utf-8")
    paths = re.findall(
        r"`((?:contract|storage|collector_server|processor|commands|loadtest|sdk|tests|docs|deploy)/[\w./-]*)`", text
    )
    assert [p for p in paths if not (ROOT / p).exists()] == []
