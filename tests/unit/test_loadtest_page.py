"""A load test's page stands alone, in two languages, with the figures of the run."""

import re
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from commands.pages.chart import Line, lines
from commands.pages.loadtest import render_run
from commands.pages.loadtest_texts import CLAIMS, T
from loadtest.history import Run
from loadtest.parts import PARTS, Use
from loadtest.report import Report
from loadtest.steps import Step
from loadtest.tally import Load, Row
from loadtest.verdict import BOOKS, HELD, Bounds, Check, Verdict, checks_of
from loadtest.watch import Sample
from tests.pages import assert_in_both_languages, assert_stands_alone, tree_of, words

STARTED = datetime(2026, 11, 23, tzinfo=UTC)


def step(rate: float, broke: str = "") -> Step:
    return Step(rate=rate, seconds=30, sent=9, acknowledged=9, shed=0, p50_ms=1.5, p99_ms=33.3, driver_lag_p99_ms=0.2,
                drained_s=2.5, broke=broke)  # fmt: skip


def report(*, spoiled: bool = False, with_steps: bool = False) -> Report:
    load = Load(
        batches=500,
        sent=5_000,
        acknowledged_in_time=4_321 if spoiled else 5_000,
        acknowledged=4_321 if spoiled else 5_000,
        refused=7,
        shed=600 if spoiled else 0,
        seconds=10,
        wanted_rate=500,
        achieved_rate=432.1,
        p99_ms=87.6,
        max_ms=123.4,
        rows=[Row(float(n), 500, 432, 60 if spoiled else 0, 0, 1.5, 87.6, 123.4) for n in range(10)],
    )
    verdict = Verdict(loaded=5_000, clean=4_993, missing=3 if spoiled else 0, drained_s=None if spoiled else 3.5)
    bounds = Bounds(p99_ms=50 if spoiled else 100, drain_s=5)
    verdict.checks = checks_of(verdict, load, [11, 12, 13] if spoiled else [], bounds, is_test=not spoiled)
    verdict.checks.append(
        Check(BOOKS, not spoiled, "0 differences", "2 differences: a = b" if spoiled else "0 differences")
    )
    if with_steps:
        verdict.checks.append(Check(HELD, True, "at least 1,000", "1,500 events a second"))
    found = Report(
        run_id="morning",
        url="http://127.0.0.1:7070",
        shape="step" if with_steps else "constant",
        rate=500.0,
        seconds=10.0,
        seed=1,
        batch_events=10,
        started_at=STARTED,
        mix="x",
        machine="qa",
        load=load,
        verdict=verdict,
        steps=[step(1_000), step(1_500), step(2_250, "p99 120 ms, wanted 100")] if with_steps else [],
    )
    uses = [{part: Use(n * 0.5, 100.0 + n) for part in PARTS} for n in range(12)]
    found.settle([Sample(float(n), min(n, 10) * 500, max(n - 2, 0) * 500, uses[n]) for n in range(12)])
    return found


EVERY = {
    "whole": report(),
    "spoiled": report(spoiled=True),
    "steps": report(with_steps=True),
    "nothing": msgspec.structs.replace(report(), load=Load(), samples=[], lags=[]),
}


@pytest.mark.parametrize("name", EVERY)
def test_a_page_stands_alone_in_both_languages(name: str) -> None:
    page = render_run(EVERY[name])
    assert_stands_alone(page)
    assert_in_both_languages(page)


@pytest.mark.parametrize("name", EVERY)
def test_a_korean_reader_needs_no_english(name: str) -> None:
    seen = words(render_run(EVERY[name]), "ko")
    known = r"http\S+|Sillok|SDK|CPU|MiB|ms|is_test|p\d+|test|constant|step|morning|KST|a = b|qa|k|s"
    assert re.findall(rf"\b(?!(?:{known})\b)[A-Za-z]{{2,}}", re.sub(r"http\S+|a = b", "", seen)) == []


def test_the_figures_are_those_of_the_run() -> None:
    seen = words(render_run(EVERY["spoiled"]), "en")
    for figure in ("5,000", "4,321", "600", "3 missing, number 11, 12, 13", "87.6", "123.4", "It did NOT take the load",
                   "not all: use a key of kind test", "2 differences"):  # fmt: skip
        assert figure in seen, figure
    assert "누락 3건, 번호 11, 12, 13" in words(render_run(EVERY["spoiled"]), "ko")
    assert "1,500 events a second was the highest rate" in words(render_run(EVERY["steps"]), "en")


def test_every_claim_of_a_verdict_has_its_korean() -> None:
    for found in EVERY.values():
        assert {check.name for check in found.verdict.checks} <= set(CLAIMS)
    assert set(PARTS) <= set(T)


def test_a_run_is_compared_with_the_one_before() -> None:
    found = report()
    before = msgspec.structs.replace(found.row(), started_at=STARTED - timedelta(days=1), p99_ms=43.8)
    found.earlier = [before]
    seen = words(render_run(found), "en")
    assert "87.6 (+100%)" in seen
    assert isinstance(found.row(), Run)


def test_a_line_is_drawn_where_its_values_are() -> None:
    tree = tree_of(lines([Line("p99", [(0, 0), (5, 50), (10, 100)])], ("가", "a"), "ms", 10))
    [path] = [element.get("points") for element in tree.iter("polyline")]
    assert path == "76.0,196.0 591.0,106.0 1106.0,16.0"
    tree = tree_of(lines([Line("p99", [(0, 1), (10, 100)])], ("가", "a"), "ms", 10, is_log=True))
    [path] = [element.get("points") for element in tree.iter("polyline")]
    assert path == "76.0,196.0 1106.0,16.0"
