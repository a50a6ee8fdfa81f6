"""The report is one page that stands alone: well-formed, in two languages, with the figures of the books."""

import re
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from commands.pages.books import render_page
from commands.pages.books_texts import MEANINGS, T
from commands.pages.picture import Bar, Loss, Stage, flow, timeline
from contract.calendar import SEOUL
from processor.books import Books
from processor.clients import ClientAccount
from processor.closes import Close, Restatement
from processor.equations import CLOSED, NAMES, Difference
from processor.outside import Outside
from processor.watermark import Slot
from processor.written_off import Damage
from tests.pages import assert_in_both_languages, assert_stands_alone, parsed, tree_of, words

START = datetime(2026, 11, 22, tzinfo=SEOUL)
DAY = date(2026, 11, 22)
HOSTILE = """<script>alert("1")</script>&'"""
CLEAN = "clean = rows of clean.events"
WEB = {"spool.received": 12_345, "spool.accepted": 12_340, "spool.rejected": 5, "load.loaded": 12_340,
       "process.clean": 12_300, "process.duplicate": 33, "process.dead_lettered": 7}  # fmt: skip


def books(**changes) -> Books:
    """Return a day's books that balance, but for what is changed."""
    known = {
        "range_from": START,
        "range_until": START + timedelta(days=1),
        "read_at": START + timedelta(days=1, hours=1),
        "finished_until": START + timedelta(days=1),
        "final": True,
        "stalled": False,
        "balanced": not changes.get("differences"),
        "totals": {"web": WEB},
        "minutes": [((START + timedelta(hours=9)).astimezone(UTC), WEB)],
        "identities": {name: name not in {d.identity for d in changes.get("differences", [])} for name in NAMES},
        "differences": [],
        "slots": [],
        "closes": [],
        "restatements": [],
        "raw_gone": [],
        "clients": [],
    }
    return Books(**{**known, **changes})


SABOTAGED = books(
    totals={HOSTILE: WEB, "app": {"spool.received": 3, "load.loaded": 3, "process.clean": 3}},
    differences=[
        Difference(CLEAN, START + timedelta(hours=9), HOSTILE, "click", (17, 1), (16, 2), final=True),
        Difference(CLOSED, START, "app", "click", (3, 1), (3, 2), final=True, detail=f"the content of {HOSTILE}"),
        Difference(CLEAN, START + timedelta(hours=23), "app", "click", (1, 1), (0, 0), final=False),
    ],
    closes=[Close("received_day", DAY, 0, START, "ab" * 32, START, HOSTILE), Close("event_day", DAY, 1, START, "cd" * 32, START, "me")],
    restatements=[Restatement(DAY, 1, START, "app", "click", "clean", 410, 421)],
    raw_gone=[DAY],
    clients=[ClientAccount(DAY, HOSTILE, HOSTILE, HOSTILE, 4, 9_876, 9_000, {HOSTILE: 70}, 6, 800)],
    outside=[Outside(DAY, "custom", "", HOSTILE, 1_203, 1_150, holds=False, final=True)],
    outside_tolerance="0.5%",
    written_off=[Damage(START, "1a2b3c4d.0.7", kind, 2, START, HOSTILE, HOSTILE) for kind in ("groups", "segment")],
)  # fmt: skip
EVERY = {
    "balanced": books(),
    "sabotaged": SABOTAGED,
    "empty": books(totals={}, minutes=[]),
    "open": books(
        final=False, stalled=True, finished_until=START + timedelta(hours=9),
        slots=[Slot(UUID(int=7), 0, 9, n, START, False, waits) for n, waits in enumerate(("gap", "loader", "processor", "clock"))],
    ),
    "nothing finished": books(final=False, finished_until=None),
    "ten sources": books(totals={f"source-{n}": WEB for n in range(10)}),
    "an hour": books(range_until=START + timedelta(hours=1), minutes=[]),
    "a year": books(range_until=START + timedelta(days=365)),
    "a lying client": books(clients=[ClientAccount(DAY, "web", "", "", 1, 2**63 - 1, 0, {}, 0, 2**63 - 1)]),
}  # fmt: skip


@pytest.mark.parametrize("name", EVERY)
def test_a_page_is_well_formed_and_stands_alone(name):
    """Nothing is fetched and nothing runs: no address, no script, no file, and a policy that says so."""
    assert_stands_alone(render_page(EVERY[name]))


@pytest.mark.parametrize("name", EVERY)
def test_every_text_stands_in_both_languages(name):
    """Each Korean text has its English one beside it."""
    assert_in_both_languages(render_page(EVERY[name]))
    assert "검산식" in words(render_page(EVERY[name]), "ko")
    assert "검산식" not in words(render_page(EVERY[name]), "en")
    assert "Identities" in words(render_page(EVERY[name]), "en")


def test_hostile_names_stay_texts():
    """Whatever a source, a version or a reason is called."""
    page = render_page(SABOTAGED)
    assert "<script" not in page
    assert HOSTILE in "".join(parsed(page).itertext())


def test_the_figures_are_those_of_the_books():
    seen = words(render_page(SABOTAGED), "en")
    for figure in (
        "12,348",
        "12,345",
        "12,303",
        "33",
        "9,876",
        "9,000",
        "800",
        "1,203",
        "1,150",
        "-53",
        "410",
        "421",
        "+11",
    ):
        assert re.search(rf"(?<![\d,]){re.escape(figure)}(?![\d,])", seen), figure
    assert "ab" * 32 in seen


@pytest.mark.parametrize(
    ("name", "korean", "english"),
    [
        ("balanced", "일치 · 확정", "Balanced · final"),
        ("sabotaged", "불일치", "Does not balance"),
        ("open", "미확정 · 처리 정지", "Not final · processing stands still"),
        ("nothing finished", "현재까지 일치 · 미확정", "Balanced so far · open"),
    ],
)
def test_the_verdict_stands_at_the_top(name, korean, english):
    badge = next(e for e in parsed(render_page(EVERY[name])).iter("span") if "badge" in e.get("class", ""))
    assert [child.text for child in badge] == [korean, english]


def test_every_difference_is_explained_or_marked_unexplained():
    """Where, both sides, what it means and what to do; an open minute may still close."""
    table = next(t for t in parsed(render_page(SABOTAGED)).iter("table") if t.get("class") == "differences")
    rows = [" ".join("".join(cell.itertext()) for cell in row) for row in table.iter("tr")][1:]
    assert ["UNEXPLAINED" in row for row in rows] == [True, True, False]
    assert "2026-11-22 09:00" in rows[0]
    assert "17 16" in rows[0]
    assert "1건이 부족합니다." in rows[0]
    assert "1 too few on the right." in rows[0]
    assert "Equal counts, other events." in rows[1]
    assert "still being processed" in rows[2]


def test_what_the_watermark_waits_for_is_named():
    seen = words(render_page(EVERY["open"]), "en")
    for reason in ("Segment 00000000.0.1 was never loaded", "Segment 00000000.0.2 is not loaded yet",
                   "Segment 00000000.0.3 is loaded and not cleaned",
                   "The clock of slot 00000000.0's collector is ahead"):  # fmt: skip
        assert reason in seen


def test_what_was_written_off_is_named_with_its_reason():
    seen = words(render_page(SABOTAGED), "en")
    assert "Losses written off as damaged" in seen
    assert "1a2b3c4d.0.7" in seen
    assert "groups: 2" in seen
    assert "the whole segment" in seen
    assert "손상으로 확정한 손실" in words(render_page(SABOTAGED), "ko")
    assert "Losses written off" not in words(render_page(EVERY["balanced"]), "en")


def test_a_slot_that_is_on_time_is_no_reason_to_wait():
    """The day goes on, and its last minutes are on their way: nobody is sent to look for a loader."""
    late, on_time = (Slot(UUID(int=7), 0, 9, n, START + timedelta(hours=n), False, "loader") for n in (8, 9))
    open_ = books(final=False, read_at=START + timedelta(hours=9, minutes=4), slots=[late, on_time])
    assert open_.waiting == [late]
    assert "Segment 00000000.0.9 is not loaded yet" in words(render_page(open_), "en")
    assert books(final=False, read_at=START + timedelta(days=2), slots=[late, on_time]).waiting == [late, on_time]


def test_every_identity_has_a_meaning_and_an_action():
    assert set(MEANINGS) == set(NAMES)
    assert all(text for pair in T.values() for text in pair)


# The pictures


def test_a_loss_is_drawn_in_its_own_colour_and_nothing_is_drawn_of_none():
    stages = [
        Stage(("가", "a"), 100, [Loss(("나", "b"), "damaged", 4), Loss(("다", "c"), "pending", 0)]),
        Stage(("라", "d"), 96),
    ]
    tree = tree_of(flow(stages, ("흐름", "flow")))
    [path] = [e for e in tree.iter("path") if e.get("fill") == "none"]
    assert (path.get("stroke"), path.get("stroke-width")) == ("#e53e3e", "6.0")
    assert [e.text for e in tree.iter("text") if e.get("lang") == "en"] == ["b 4  4.00%", "a", "d"]


def test_the_stream_keeps_its_width_whatever_clients_claim():
    """What is counted on another ground has its own scale."""
    tree = tree_of(flow([Stage(("가", "a"), 10**18, is_apart=True), Stage(("나", "b"), 5)], ("흐름", "flow")))
    assert [e.get("height") for e in tree.iter("rect") if e.get("width") == "12"] == ["150.0", "150.0"]


def test_a_bar_is_as_tall_as_its_events_and_a_difference_is_marked():
    bars = [
        Bar("09:00", (("clean", 40), ("pending", 10)), 50),
        Bar("09:10", (("clean", 25),), 25, 3, differs=True, is_open=True),
    ]
    tree = tree_of(timeline(bars, ("시간", "time"), ("미확정", "open")))
    tall = {(e.get("fill"), e.get("height")) for e in tree.iter("rect")}
    assert {("#2f855a", "115.20"), ("url(#waits)", "28.80"), ("#2f855a", "72.00"), ("#dd6b20", "8.64")} <= tall
    [mark] = [e for e in tree.iter("path") if e.get("fill") == "#e53e3e"]
    assert mark[0].text == "09:10"


def test_nothing_can_be_drawn():
    for picture in (flow([], ("", "")), timeline([], ("", ""), ("", ""))):
        assert tree_of(picture).tag == "svg"
