"""Who only uses Sillok installs only Sillok, and is told what goes on meanwhile."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEVELOPERS = ".[dev]"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a fresh clone's Makefile with what it looks at, before anything is installed."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "sdk/python/pyproject.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def make(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=clone, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("target", ["up", "demo", "dist"])
def test_a_users_target_installs_the_product_alone(clone: Path, target: str):
    lines = make(clone, "--dry-run", target).stdout
    assert "--editable ." in lines
    assert DEVELOPERS not in lines
    assert 'echo "Installing Sillok' in lines.split("pip install")[0], "before the first silent second"


@pytest.mark.parametrize("target", ["test", "check", "bench", "bench-micro", "soak", "format"])
def test_a_developers_target_brings_the_tools_after_the_product(clone: Path, target: str):
    product, _, tools = make(clone, "--dry-run", target).stdout.partition("developers' tools")
    assert "--editable ." in product
    assert DEVELOPERS not in product
    assert DEVELOPERS in tools


def test_what_cannot_be_installed_is_not_taken_for_installed(clone: Path):
    (clone / "constraints.txt").write_text("this is no requirement ===\n", encoding="utf-8")
    done = make(clone, "demo")
    assert done.returncode != 0
    assert "constraints.txt" in done.stderr, "pip's own words come through"
    assert not (clone / ".venv/.product").exists()


def test_an_old_python_is_told_what_is_needed(clone: Path):
    done = make(clone, "up", "PYTHON=false")
    assert done.returncode != 0
    assert "Python 3.11 or later" in done.stdout
