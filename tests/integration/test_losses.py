"""What is lost is named and, by an operator's word with a reason, written off: then the books balance and go on."""

import json

import pytest

from contract.errors import UsageError
from processor.operate.losses import find_losses, write_off
from storage.spool.folder import SEALED
from storage.spool.recovery import recover_slot
from tests.builders import MINUTE_US, Road, event, flip_bit, pieces, today_us
from tests.checks import assert_checks_are_clean
from tests.fakes import FakeClock
from tests.operating import sillok, write_settings

REASON = "disk 3 of node 2 replaced"


def name_of(road: Road, number: int) -> str:
    return f"{str(road.spool.folder.spool_id)[:8]}.{road.spool.folder.slot}.{number}"


def lose_group(road: Road) -> int:
    """Leave a segment behind, as a crash does, of which one group's header is unreadable."""
    number = road.spool.write(event(), event(), event())
    data = road.spool.sealed(number).read_bytes()
    road.spool.sealed(number).unlink()
    road.spool.open(number).write_bytes(data[: pieces(data)[-1].start])
    flip_bit(road.spool.open(number), pieces(data)[1].start + 20)
    recover_slot(road.spool.folder, road.spool.clock.wall_us())
    road.send(event())
    return number


def lose_segment(road: Road) -> int:
    """Lose the second of three files before it was loaded."""
    for minute in range(3):
        road.spool.clock = FakeClock(today_us(9, minute))
        road.spool.write(event())
    road.spool.sealed(2).unlink()
    road.load()
    road.process()
    return 2


def break_footer(road: Road, number: int) -> None:
    path = road.spool.sealed(number)
    flip_bit(path, pieces(path.read_bytes())[-1].start + 70)


def reconcile(road: Road, folder, *arguments: str):
    day = f"{road.values('select ops.day_of(min(until)) from ops.loads')[0]}"
    return sillok(write_settings(road, folder), "reconcile", "--day", day, *arguments)


def test_a_lost_group_is_named_and_written_off(road, tmp_path):
    number = lose_group(road)
    (loss,) = find_losses(road.operator, road.spool_folder)
    assert (loss.segment, loss.kind, loss.groups) == (name_of(road, number), "groups", 1)
    before = reconcile(road, tmp_path)
    assert before.returncode == 1
    assert f"(segment {name_of(road, number)})" in " ".join(before.stdout.split())

    done = sillok(write_settings(road, tmp_path), "spool", "write-off", name_of(road, number), "--reason", REASON)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"1 lost groups of segment {name_of(road, number)} are written off as damaged\n"

    after = reconcile(road, tmp_path)
    assert after.returncode == 0, after.stdout
    words = " ".join(after.stdout.split())
    assert f"1 group of segment {name_of(road, number)}, of unknown size, written off" in words
    assert f": {REASON}" in words
    (told,) = json.loads(reconcile(road, tmp_path, "--json").stdout)["written_off"]
    assert (told["segment"], told["kind"], told["count"], told["reason"]) == (
        name_of(road, number),
        "groups",
        1,
        REASON,
    )
    (action,) = road.rows("select command, arguments, reason, result from ops.actions")
    assert action == {
        "command": "spool write-off",
        "arguments": {"spool_id": str(road.spool.folder.spool_id), "slot": 0, "segment": number},
        "reason": REASON,
        "result": {"kind": "groups", "groups": 1},
    }
    assert find_losses(road.operator, road.spool_folder) == []
    assert_checks_are_clean(road.admin)


def test_what_was_written_off_is_not_written_off_twice(road):
    number = lose_group(road)
    write_off(road.operator, road.spool_folder, name_of(road, number), REASON)
    with pytest.raises(UsageError, match="is loaded, and nothing of it is lost"):
        write_off(road.operator, road.spool_folder, name_of(road, number), REASON)
    assert road.books().balanced
    assert road.values("select count(*) from ops.actions") == [1]


def test_a_segment_that_nobody_has_is_written_off_and_the_watermark_goes_on(road, tmp_path):
    number = lose_segment(road)
    assert not road.books().final
    listed = sillok(write_settings(road, tmp_path), "spool", "lost", "--json")
    assert listed.returncode == 1
    assert [loss["segment"] for loss in json.loads(listed.stdout)] == [name_of(road, number)]
    finished = road.values("select finished_until from ops.watermark")
    assert write_off(road.operator, road.spool_folder, name_of(road, number), REASON).kind == "segment"
    assert road.values("select finished_until from ops.watermark") == finished, "a word alone moves no watermark"
    road.process()
    books = road.books()
    assert (books.final, books.balanced) == (True, True)
    assert books.finished_until > finished[0]
    assert [(loss.segment, loss.kind, loss.reason) for loss in books.written_off] == [
        (name_of(road, number), "segment", REASON)
    ]
    assert sillok(write_settings(road, tmp_path), "spool", "lost").stdout == "Nothing is lost.\n"
    assert_checks_are_clean(road.admin)


def test_of_a_segment_without_a_footer_what_can_be_read_is_loaded(road):
    """Its slot waits for it; nothing that can be read is given up."""
    number = road.spool.write(*(events := [event(), event()]))
    break_footer(road, number)
    (loss,) = find_losses(road.operator, road.spool_folder)
    assert (loss.segment, loss.kind) == (name_of(road, number), "footer") or number > 1
    road.register()
    assert write_off(road.operator, road.spool_folder, name_of(road, number), REASON).kind == "footer"
    assert road.spool.folder.segments(SEALED) == [number]
    road.load()
    road.process()
    assert len(road.clean(*events)) == 2
    assert road.books().balanced
    assert [path.suffix for path in road.spool.folder.damaged.iterdir()] == [".open"]


def test_a_file_that_cannot_be_read_at_all_is_kept_aside(road):
    road.send(event())
    number = road.spool.write(event())
    flip_bit(road.spool.sealed(number), 3)
    road.register()
    (loss,) = find_losses(road.operator, road.spool_folder)
    assert (loss.segment, loss.kind) == (name_of(road, number), "segment")
    before = road.spool.sealed(number).read_bytes()
    assert write_off(road.operator, road.spool_folder, name_of(road, number), REASON).kind == "segment"
    (kept,) = road.spool.folder.damaged.iterdir()
    assert kept.read_bytes() == before
    follows = event(time=(today_us() + MINUTE_US) // 1000)
    road.send(follows)
    assert len(road.clean(follows)) == 1
    assert road.books().balanced


@pytest.mark.parametrize(
    ("segment", "words"),
    [
        ("{0}.0.1", "is loaded, and nothing of it is lost"),
        ("{0}.0.2", "can be loaded: run `sillok load`"),
        ("{0}.0.99", "has numbers from 1 to 2: 99 is none of them"),
        ("{0}.7.1", "no loader has ever seen slot 7"),
        ("ffffffff.0.1", "no loader has ever seen slot 0 of spool ffffffff"),
        ("1", "is no segment's name"),
        ("{0}.0.x", "is no segment's name"),
        ("", "is no segment's name"),
    ],
)
def test_what_is_not_lost_is_not_written_off(road, segment, words):
    road.send(event())
    road.spool.write(event())
    road.register()
    with pytest.raises(UsageError, match=words):
        write_off(road.operator, road.spool_folder, segment.format(str(road.spool.folder.spool_id)[:8]), REASON)
    assert road.values("select count(*) from ops.actions") == [0]
    assert road.spool.folder.segments(SEALED) == [2]


def test_another_machines_segment_is_taken_at_the_operators_word(road):
    number = lose_segment(road)
    assert write_off(road.operator, None, name_of(road, number), REASON).kind == "segment"


def test_without_a_reason_nothing_is_written_off(road, tmp_path):
    number = lose_segment(road)
    assert sillok(write_settings(road, tmp_path), "spool", "write-off", name_of(road, number)).returncode == 2
