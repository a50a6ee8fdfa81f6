"""A load test as one page: what was asked for, what came of it second by second, the verdict, earlier runs."""

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from commands.pages.chart import Line, lines
from commands.pages.loadtest_texts import T, claim, phrase
from commands.pages.page import Head, both, box, document, fill, number, table
from commands.pages.picture import NARROW, WIDTH, Loss, Stage, Text, flow, flow_down, legend
from contract.calendar import SEOUL
from loadtest.history import Run
from loadtest.parts import PARTS
from loadtest.report import Report
from loadtest.watch import Sample


def render_run(report: Report) -> str:
    """Return the whole page as the text of one file."""
    result = "taken" if report.holds else "not taken" if report.verdict.is_valid else "invalid"
    started = f"{report.started_at.astimezone(SEOUL):%Y-%m-%d %H:%M:%S %Z}"
    course = fill(
        T["steps are" if report.rate_grows else "load is"],
        report.shape,
        f"{report.rate:,.0f}",
        f"{report.load.seconds:,.0f}",
        report.batch_events or "…",
    )
    head = Head(
        title=T["title"],
        span=f"{report.run_id} {started}",
        badge=T[result],
        mark="good" if report.holds else "bad",
        says=T["steps taken says" if result == "taken" and report.rate_grows else f"{result} says"],
        facts=[
            (T["run"], escape(report.run_id)),
            (T["started"], escape(started)),
            (T["target"], escape(report.url)),
            (T["load"], both(course)),
        ],
    )
    sections = [
        box(T["verdict"], None, _verdict(report)),
        *([_steps(report)] if report.steps else []),
        box(T["figures"], None, _figures(report)),
        box(T["events"], T["events says"], _events(report)),
        _rate(report),
        _answers(report),
        *([_lag(report)] if report.samples else []),
        *(_machine(report) if any(sample.parts for sample in report.samples) else []),
        box(T["earlier"], T["earlier says"] if report.earlier else T["no earlier"], _earlier(report)),
    ]
    return document(head, sections)


def _verdict(report: Report) -> str:
    rows = [
        [
            both(claim(check.name)),
            both(phrase(check.wanted)),
            both(phrase(check.found)),
            f'<span class="{"good" if check.holds else "bad"}">{both(T["holds" if check.holds else "fails"])}</span>',
        ]
        for check in sorted(report.verdict.checks, key=lambda check: check.holds)
    ]
    return table([T[name] for name in ("claim", "asked", "found", "result")], rows)


def _steps(report: Report) -> str:
    best = report.highest
    rows = [
        [
            f"<b>{step.rate:,.0f}</b>" if step is best else f"{step.rate:,.0f}",
            f"{step.p50_ms:,.1f}",
            f"{step.p99_ms:,.1f}",
            number(step.shed),
            "—" if step.drained_s is None else f"{step.drained_s:g}",
            f'<span class="good">{both(T["held"])}</span>'
            if step.holds
            else f'<span class="bad">{both(T["not held"])}</span> {both(phrase(step.broke))}',
        ]
        for step in report.steps
    ]
    names = [T["rate"], ("p50 ms", "p50 ms"), ("p99 ms", "p99 ms"), T["shed"], T["drain"], T["result"]]
    says = fill(T["steps says"], f"{best.rate:,.0f}") if best else T["no steps says"]
    return box(T["steps"], says, table(names, rows, numbers=range(5)))


def _figures(report: Report) -> str:
    load, verdict = report.load, report.verdict
    names = [
        T["rate"], ("p50 ms", "p50 ms"), ("p90 ms", "p90 ms"), ("p99 ms", "p99 ms"), ("p99.9 ms", "p99.9 ms"),
        T["max"], T["lag p95"], T["drain"],
    ]  # fmt: skip
    row = [
        f"{load.achieved_rate:,.0f}",
        *(f"{value:,.1f}" for value in (load.p50_ms, load.p90_ms, load.p99_ms, load.p999_ms, load.max_ms)),
        _or_dash(report.lag_p95_s),
        _or_dash(verdict.drained_s),
    ]
    return table(names, [row], numbers=range(len(names)))


def _stages(report: Report) -> list[Stage]:
    load, verdict = report.load, report.verdict
    lost = max(load.sent - load.acknowledged - load.shed, 0)
    return [
        Stage(T["sent"], load.sent, (Loss(T["shed"], "shed", load.shed), Loss(T["unanswered"], "missing", lost))),
        Stage(T["acknowledged"], load.acknowledged, (
            Loss(T["refused"], "rejected", load.refused),
            Loss(T["missing"], "missing", verdict.missing),
            Loss(T["dead letter"], "dead letter", verdict.dead_letters),
        )),
        Stage(T["clean"], verdict.clean),
    ]  # fmt: skip


def _events(report: Report) -> str:
    stages = _stages(report)
    return flow(stages, T["events"]) + flow_down(stages, T["events"])


def _both_widths(series: Sequence[Line], title: Text, unit: str, seconds: float, *, is_log: bool = False) -> str:
    """Return the picture for a screen and the one for a phone; the style sheet shows one."""
    return "".join(lines(series, title, unit, seconds, is_log=is_log, width=width) for width in (WIDTH, NARROW))


def _keys(*names: str) -> str:
    return f'<p class="keys">{legend([(name, T[name]) for name in names])}</p>'


def _rate(report: Report) -> str:
    rows = report.load.rows
    row_s = rows[1].from_s if len(rows) > 1 else 1.0
    ends = _ends(report)
    series = [
        Line("wanted", [(row.from_s, row.wanted / row_s) for row in rows], is_area=True, is_stepped=True),
        Line("acknowledged", [(row.from_s, row.acknowledged / row_s) for row in rows], is_stepped=True),
    ]
    if report.load.shed:
        series.append(Line("shed", [(row.from_s, row.shed / row_s) for row in rows], is_stepped=True))
    keys = _keys(*(line.colour for line in series))
    return box(T["rate"], T["rate says"], _both_widths(series, T["rate"], "", ends) + keys)


def _answers(report: Report) -> str:
    rows = [row for row in report.load.rows if row.acknowledged]
    series = [
        Line("max", [(row.from_s, row.max_ms) for row in rows]),
        Line("p99", [(row.from_s, row.p99_ms) for row in rows]),
        Line("p50", [(row.from_s, row.p50_ms) for row in rows]),
    ]
    picture = _both_widths(series, T["answers"], "ms", _ends(report), is_log=True)
    return box(T["answers"], T["answers says"], picture + _keys("p50", "p99", "max"))


def _lag(report: Report) -> str:
    drained = report.verdict.drained_s
    said = T["not drained"] if drained is None else fill(T["drained"], f"{drained:g}")
    says = (T["lag says"][0].format(said[0]), T["lag says"][1].format(said[1]))
    waiting = [(sample.at_s, max(sample.acknowledged - sample.clean, 0)) for sample in report.samples]
    ends = _ends(report)
    return box(
        T["lag"],
        says,
        _both_widths([Line("clean", report.lags)], T["lag"], "s", ends)
        + f"<h3>{both(T['backlog'])}</h3>"
        + _both_widths([Line("p99", waiting, is_area=True)], T["backlog"], "", ends),
    )


def _machine(report: Report) -> list[str]:
    """Draw what the parts used; CPU as cores between two looks."""
    found = [name for name in PARTS if any(name in sample.parts for sample in report.samples)]
    ends = _ends(report)
    cpu = [Line(name, _cores(report.samples, name)) for name in found]
    memory = [
        Line(name, [(s.at_s, s.parts[name].memory_mib) for s in report.samples if name in s.parts]) for name in found
    ]
    return [
        box(T["cpu"], T["cpu says"], _both_widths(cpu, T["cpu"], "", ends) + _keys(*found)),
        box(T["memory"], T["memory says"], _both_widths(memory, T["memory"], "MiB", ends) + _keys(*found)),
    ]


def _cores(samples: Sequence[Sample], name: str) -> list[tuple[float, float]]:
    seen = [(sample.at_s, sample.parts[name].cpu_s) for sample in samples if name in sample.parts]
    return [
        (at_s, max(cpu_s - cpu_before, 0.0) / (at_s - before))
        for (before, cpu_before), (at_s, cpu_s) in pairwise(seen)
        if at_s > before
    ]


def _ends(report: Report) -> float:
    """Return the last moment that any picture shows: they stand under one another."""
    rows = report.load.rows
    return max(rows[-1].from_s if rows else 0.0, report.samples[-1].at_s if report.samples else 0.0, 1.0)


def _earlier(report: Report) -> str:
    if not report.earlier:
        return ""
    runs = [*report.earlier, report.row()]
    rows = [
        [
            escape(f"{run.started_at.astimezone(SEOUL):%Y-%m-%d %H:%M %Z}")
            if run is not runs[-1]
            else both(T["this run"]),
            *_compared(run, runs[place - 1] if place else None),
            f'<span class="{"good" if run.holds else "bad"}">{both(T["holds" if run.holds else "fails"])}</span>',
        ]
        for place, run in enumerate(runs)
    ]
    names = [T["started"], T["rate"], ("p50 ms", "p50 ms"), ("p99 ms", "p99 ms"), T["lag p95"], T["drain"],
             T["highest"], T["missing"], T["result"]]  # fmt: skip
    return table(names, rows, numbers=range(1, 8))


def _compared(run: Run, before: Run | None) -> list[str]:
    cells = []
    for name in ("achieved_rate", "p50_ms", "p99_ms", "lag_p95_s", "drained_s", "highest_rate", "missing"):
        now, then = getattr(run, name), getattr(before, name) if before else None
        change = f" ({(now / then - 1):+.0%})" if now is not None and then else ""
        cells.append("—" if now is None else f"{now:,.{0 if now >= 100 or now == int(now) else 1}f}{change}")  # noqa: PLR2004
    return cells


def _or_dash(seconds: float | None) -> str:
    return "—" if seconds is None else f"{seconds:g}"
