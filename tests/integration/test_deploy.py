"""What `deploy/` holds fits the programs: metrics that exist, alarms with pages, settings that load, sandboxes."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from commands.metrics import render
from commands.settings import load_settings, refuse_database_credentials
from tests.builders import Road, Sent, event
from tests.conftest import free_port
from tests.integration.conftest import batch, eventually, running
from tests.operating import sillok, write_settings
from tests.patience import PATIENCE_S
from tests.pulling import TOKEN

_ROOT = Path(__file__).parents[2]
_DEPLOY = _ROOT / "deploy"
_RULES = yaml.safe_load((_DEPLOY / "prometheus/sillok.rules.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
_DASHBOARD = json.loads((_DEPLOY / "grafana/sillok.json").read_text(encoding="utf-8"))
_EXPOSURE_MAX = 1.5
# Of other programs: Prometheus itself, and node_exporter.
_FOREIGN = {"up", "node_textfile_mtime_seconds"}


def names_in(expression: str) -> set[str]:
    """Return the metrics of an expression: what stands before a selector, a range or nothing, and is no function."""
    bare = re.sub(r"\{[^}]*\}|\"[^\"]*\"|\[[^]]*\]", "", expression)
    bare = re.sub(r"\b(?:by|without)\s*\([^)]*\)", "", bare)
    words = set(re.findall(r"[a-z_]\w*(?!\s*\()\b", bare))
    return {word for word in words if not re.search(rf"\b{word}\s*\(", bare)} - {"or", "and", "unless", "by", "e9"}


def series_in(text: str) -> set[str]:
    """Return the names of the time series a program prints, also of those that have no sample yet."""
    found: set[str] = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        found |= {f"{name}{end}" for end in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    return found


@pytest.fixture(scope="module")
def expressions() -> dict[str, str]:
    panels = [panel for panel in _DASHBOARD["panels"] if panel["type"] != "row"]
    found = {f"panel {p['title']} {t['refId']}": t["expr"] for p in panels for t in p["targets"]}
    return found | {f"alarm {rule['alert']}": rule["expr"] for rule in _RULES}


def test_alarms_and_dashboard_use_metrics_that_exist(road: Road, tmp_path: Path, expressions: dict[str, str]) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN, encoding="ascii")
    with running(tmp_path, f'pull_port = {free_port()}\npull_token_file = "{token}"') as collector:
        collector.wait_until_ready()
        collector.post(batch())
        known = series_in(collector.admin("/metrics")[1]) | series_in(render(road.processor)) | _FOREIGN
    for where, expression in expressions.items():
        assert names_in(expression), where
        assert names_in(expression) <= known, where
    every = {name for expression in expressions.values() for name in names_in(expression)}
    assert {"sillok_requests_total", "sillok_sync_seconds_bucket", "sillok_watermark_lag_seconds"} <= every


def test_a_metric_that_does_not_exist_would_be_found() -> None:
    assert names_in('sum by (a) (rate(sillok_x_total{b="c"}[5m])) > 0.1 * sillok_y') == {"sillok_x_total", "sillok_y"}
    assert names_in("histogram_quantile(0.9, sum by (le) (rate(sillok_z_bucket[5m])))") == {"sillok_z_bucket"}


def test_labels_of_the_rules_are_labels_of_the_metrics(road: Road, tmp_path: Path, expressions: dict[str, str]) -> None:
    with running(tmp_path) as collector:
        collector.wait_until_ready()
        collector.post(batch())
        assert collector.request("POST", "/v1/events?key=nobody", batch()).status == 401
        eventually(lambda: 'status="401"' in collector.admin("/metrics")[1])
        printed = collector.admin("/metrics")[1]
    printed += render(road.processor)
    for where, expression in expressions.items():
        for name, selector in re.findall(r"(sillok_\w+)\{([^}]*)\}", expression):
            for label, values in re.findall(r'(\w+)=~?"([^"]*)"', selector):
                assert re.search(rf"^{name}\{{[^}}]*\b{label}=", printed, re.MULTILINE), f"{where}: no label {label}"
                for value in set(values.split("|")) - {"503", "rejected"}:  # these have not happened here
                    assert re.search(rf'^{name}\{{[^}}]*\b{label}="{value}"', printed, re.MULTILINE), (
                        f"{where}: {value}"
                    )
        grouped = {label for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(", ")}
        for label in grouped - {"instance"}:
            known = [re.search(rf"^{name}\{{[^}}]*\b{label}=", printed, re.MULTILINE) for name in names_in(expression)]
            assert all(known), f"{where}: no label {label}"


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (Prometheus) is not installed")
@pytest.mark.parametrize(
    ("series", "alarm", "minutes", "rings"),
    [
        ('sillok_requests_total{instance="a",status="503"}: 0x20 1x80', "SillokRefusing", range(5, 20), False),
        ('sillok_requests_total{instance="a",status="503"}: 0+1x80', "SillokRefusing", [10], True),
        ('sillok_workers_ready{instance="a"}: 0x80', "SillokNotReady", [5], True),
        ('sillok_spool_oldest_waiting_seconds{instance="a",slot="0"}: 0+15x80', "SillokSegmentsWait", [10], True),
        ('sillok_worker_restarts_total{instance="a"}: 0+0x20 1+0x60', "SillokWorkerRestarts", range(5, 20), False),
        ('sillok_slot_ahead_seconds{slot="0",spool="1a2b3c4d"}: 259200-15x80', "SillokSlotAhead", [5], True),
        (
            'sillok_slot_ahead_seconds{slot="0",spool="1a2b3c4d"}: 259200x20 _x60',
            "SillokSlotAhead",
            range(11, 20),
            False,
        ),
    ],
)
def test_alarms_ring_when_they_should(
    tmp_path: Path, series: str, alarm: str, minutes: Iterable[int], *, rings: bool
) -> None:
    """Prometheus' own tool reads the rules and plays a quarter of an hour; one single 503 wakes nobody."""
    rules = str(_DEPLOY / "prometheus/sillok.rules.yml")
    name, values = series.rsplit(": ", 1)
    expected = [{"eval_time": f"{minute}m", "alertname": alarm, "exp_alerts": []} for minute in minutes]
    played = {"interval": "15s", "input_series": [{"series": name, "values": values}], "alert_rule_test": expected}
    path = tmp_path / "played.yml"
    path.write_text(yaml.safe_dump({"rule_files": [rules], "evaluation_interval": "15s", "tests": [played]}))
    for arguments, is_well in ((("check", "rules", rules), True), (("test", "rules", str(path)), not rings)):
        done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        said = done.stdout + done.stderr
        assert (done.returncode == 0) == is_well, said
        assert is_well or f'alertname="{alarm}"' in said


def test_every_alarm_has_a_page() -> None:
    pages = (_ROOT / "docs/operate.md").read_text(encoding="utf-8")
    for rule in _RULES:
        _, found, page = pages.partition(f"\n#### {rule['alert']}\n")
        assert found, f"{rule['alert']} has no page"
        text = page.partition("\n#### ")[0]
        assert all(f"**{word}**" in text for word in ("Means", "Look", "Do")), rule["alert"]
        assert {"severity"} == set(rule["labels"])
        assert rule["annotations"]["summary"]
    assert len(re.findall(r"^#### Sillok\w+$", pages, re.MULTILINE)) == len(_RULES)


def test_the_example_settings_are_settings() -> None:
    for path in (_DEPLOY / "settings").iterdir():
        settings = load_settings(str(path), {})
        if path.stem == "collector":
            refuse_database_credentials(settings, {})
            assert settings.serve.keys == (), "the demo key has no place in an installation"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("unit", ["collector", "loader", "processor", "metrics"])
def test_the_units_are_sandboxed(unit: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(_DEPLOY / f"systemd/sillok-{unit}.service")],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= _EXPOSURE_MAX


def test_no_secret_is_in_an_argument_or_the_environment_of_a_unit() -> None:
    for path in (_DEPLOY / "systemd").glob("*.service"):
        text = path.read_text(encoding="utf-8")
        assert "Environment" not in text
        assert not re.search(r"ExecStart=.*(dsn|password|token|key)=", text, re.IGNORECASE)


def test_the_databases_metrics_say_what_waits_and_what_lies_dead(road: Road, tmp_path: Path) -> None:
    assert "sillok_loads_waiting 0.0" in render(road.processor)
    road.spool.write(Sent([event(), event()]))
    road.load()
    road.admin.execute(
        "insert into ops.dead_letters (stage, load_id, received_at, source, event_type, reason, detail)"
        " values ('load', 1, now(), 'web', 'click', 'row_refused', '')"
    )
    done = sillok(write_settings(road, tmp_path), "metrics")
    assert done.returncode == 0, done.stderr
    assert "sillok_loads_waiting 1.0" in done.stdout
    assert "sillok_load_events_waiting 2.0" in done.stdout
    assert 'sillok_dead_letters{reason="row_refused"} 1.0' in done.stdout
    road.process()
    assert "sillok_loads_waiting 0.0" in render(road.processor)


def test_the_programs_run_where_memory_is_never_both_written_and_run() -> None:
    """`MemoryDenyWriteExecute=`, asked of the kernel itself: masks, decoder and compressor need no such memory."""
    program = (
        "import ctypes, sys\n"
        "if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): sys.exit(77)\n"  # PR_SET_MDWE
        "import uvloop, psycopg, re2, sillok\n"
        "import zstandard, msgspec, ua_parser, maxminddb\n"
        "from collector_server.mask import Masker\n"
        "re2.compile('a+').search('aaa'); zstandard.ZstdCompressor().compress(b'x' * 100)\n"
        "uvloop.new_event_loop().close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=PATIENCE_S, check=False, cwd=_ROOT
    )
    if done.returncode == 77:
        pytest.skip("this kernel does not know PR_SET_MDWE")
    assert done.returncode == 0, done.stderr
