"""`sillok spool retire`: a slot that will not come back no longer holds the watermark; a living one is refused."""

import json
import os

import pytest

from contract.errors import UsageError
from processor.operate.slots import retire_slot
from storage.spool.files import lock_file
from tests.builders import Road, Sent, Spool, event, today_us
from tests.operating import sillok, write_settings

NOON = today_us(12, days=-1)


@pytest.fixture
def left_over(road) -> Road:
    """Return a road with a slot that was seen and never came back."""
    silent = Spool(road.spool.path, slot=1)
    road.spool.write(Sent([event()], at_us=NOON))
    road.register(silent)
    road.load()
    road.process()
    assert not road.books().final
    return road


def retire(road: Road, slot: int = 1):
    spool = road.spool_folder
    return retire_slot(road.operator, spool, spool.spool_id, slot, "one worker less")


def test_a_retired_slot_no_longer_holds_the_watermark(left_over):
    assert not retire(left_over).was_retired
    assert left_over.books().final
    assert retire(left_over).was_retired, "saying it twice is harmless"
    [first, second] = left_over.rows("select command, arguments, reason, result from ops.actions order by action_id")
    assert first == {
        "command": "spool retire",
        "arguments": {"spool_id": str(left_over.spool_folder.spool_id), "slot": 1},
        "reason": "one worker less",
        "result": {"last_segment": 0, "was_retired": False},
    }
    assert second["result"]["was_retired"]


def test_a_slot_that_is_written_to_is_refused(left_over):
    lock = lock_file(left_over.spool_folder.slot(1).path / "LOCK")
    assert lock is not None
    try:
        with pytest.raises(UsageError, match="slot 1 is being written to"):
            retire(left_over)
    finally:
        os.close(lock)
    assert left_over.values("select retired_at from ops.slots where slot = 1") == [None]


@pytest.mark.parametrize("suffix", [".open", ".sealed"])
def test_a_slot_that_holds_events_is_refused(left_over, suffix):
    """Sealed and not loaded, or left open by a crash: neither may be forgotten."""
    number = Spool(left_over.spool.path, slot=1).write(event())
    path = left_over.spool_folder.slot(1).segment_path(number)
    path.rename(path.with_suffix(suffix))
    with pytest.raises(UsageError, match="holds 1 segments that are not loaded"):
        retire(left_over)


def test_a_slot_nobody_has_seen_is_refused(left_over):
    with pytest.raises(UsageError, match="no loader has ever seen slot 7"):
        retire(left_over, slot=7)
    assert left_over.values("select count(*) from ops.actions") == [0]


def test_a_retired_slot_that_is_written_to_again_is_waited_for_again(left_over):
    """More workers after all: its events hold the watermark like anybody's."""
    retire(left_over)
    slot = Spool(left_over.spool.path, slot=1)
    with slot.living() as living:
        living.send(Sent([event()], at_us=NOON + 60_000_000))
        living.seal()
        left_over.register(slot)
        assert left_over.values("select retired_at from ops.slots where slot = 1") == [None]
        assert not left_over.books().final


def test_the_command_retires_a_slot(left_over, tmp_path):
    """As an operator types it; wrong usage is status 2 and a sentence."""
    settings = write_settings(left_over, tmp_path)
    done = sillok(settings, "spool", "retire", "--slot", "1", "--json", "--reason", "one worker less")
    assert (done.returncode, json.loads(done.stdout)["slot"]) == (0, 1)
    done = sillok(settings, "spool", "retire", "--slot", "9", "--reason", "one worker less")
    assert done.returncode == 2
    assert "no loader has ever seen slot 9" in done.stderr
