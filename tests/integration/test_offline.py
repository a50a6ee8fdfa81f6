"""An installation without a network: what `make dist` carries is enough, and nothing tries to fetch more."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import parse_wheel_filename

_ROOT = Path(__file__).parents[2]
_PATIENCE_S = 600
_NAMESPACE = ["unshare", "--net"]


def lines_of_the_page() -> list[str]:
    """Return what docs/operate.md lets root type inside."""
    page = (_ROOT / "docs/operate.md").read_text(encoding="utf-8")
    section = page.partition("### Wheels in a folder, no network")[2].partition("\n### ")[0]
    return re.findall(r"^# (.*)$", section, re.MULTILINE)


def clean(**more: str) -> dict[str, str]:
    """Return an environment that knows nothing of this checkout, nor of an index of packages."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C.UTF-8", **more}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make what is carried inside, as the page says."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("only root can leave the network, with unshare (util-linux)")
    if subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine refuses namespaces")
    folder = tmp_path_factory.mktemp("offline")
    probe = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder / "probe"), "mdurl"]
    if subprocess.run(probe, capture_output=True, check=False, timeout=_PATIENCE_S).returncode:
        pytest.skip("no index of packages is within reach to fill the folder of wheels from")
    made = subprocess.run(
        ["make", "--silent", "dist", f"DIST={folder / 'dist'}"],
        cwd=_ROOT, capture_output=True, text=True, timeout=_PATIENCE_S, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return folder / "dist"


def test_what_is_carried_is_what_its_sbom_lists(dist: Path) -> None:
    """Here pip itself found what Sillok needs."""
    wheels = {
        str(name): str(version)
        for name, version, *_ in (parse_wheel_filename(path.name) for path in (dist / "wheels").iterdir())
    }
    sbom = json.loads((dist / "sbom.json").read_text(encoding="utf-8"))
    listed = {each["name"]: each["version"] for each in (sbom["metadata"]["component"], *sbom["components"])}
    assert listed.pop("sillok-browser-sdk")
    assert listed == wheels


def test_it_installs_and_runs_where_nothing_can_be_fetched(dist: Path, tmp_path: Path) -> None:
    """The page's own lines: checked, installed, and an event taken from HTTP to the books."""
    lines = [line.replace("/opt/", f"{tmp_path}/") for line in lines_of_the_page()]
    assert len(lines) == 6
    done = subprocess.run(
        [*_NAMESPACE, sys.executable, "-m", "tests.integration.without_a_way_out", str(dist), *lines],
        cwd=_ROOT, env=clean(TMPDIR=str(tmp_path)), capture_output=True, text=True, timeout=_PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    printed = seen["printed"]
    assert [each["status"] for each in printed] == [0] * len(lines), printed[-1]
    assert printed[4]["output"] == "sillok 0.1.0\n"
    assert "The books balance." in printed[5]["output"]
    assert seen["routes"] == []
    assert (seen["tried"]["Ip:OutNoRoutes"], seen["tried"]["Ip6OutNoRoutes"]) == (0, 0), "nothing was even tried"
    assert seen["after_control"]["Ip:OutNoRoutes"] == 1, "what is tried shows"


def test_what_was_changed_on_its_way_is_not_installed(dist: Path, tmp_path: Path) -> None:
    """Neither a file that is another, nor one that is missing, nor a newer wheel that somebody laid beside ours."""
    check, _, install, *_ = lines_of_the_page()
    ours, changed = next((dist / "wheels").glob("sillok_sdk-*")), dist / "wheels/mdurl-0.1.2-py3-none-any.whl"
    newer = shutil.copy(ours, dist / "wheels/sillok_sdk-9.0-py3-none-any.whl")
    before = changed.read_bytes()
    changed.write_bytes(before + b"#")
    assert subprocess.run(["bash", "-c", check], cwd=dist, capture_output=True, check=False).returncode == 1
    words = install.split()[2:]
    pip = [sys.executable, "-m", "pip", "download", "--dest", str(tmp_path), *words]
    refused = subprocess.run(pip, cwd=dist, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "DO NOT MATCH THE HASHES" in refused.stderr
    assert "mdurl" in refused.stderr
    changed.write_bytes(before)
    assert subprocess.run(pip, cwd=dist, capture_output=True, text=True, check=False).returncode == 0
    assert not (tmp_path / Path(newer).name).exists()
    changed.unlink()
    assert subprocess.run(["bash", "-c", check], cwd=dist, capture_output=True, check=False).returncode == 1
