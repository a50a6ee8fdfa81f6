"""What is held about a customer: all that erasure would find, and nothing of anybody else's; nothing changes."""

import json

import pytest

from contract.errors import UsageError
from processor.operate.erase import erase_customer
from processor.operate.held import held_of
from tests.builders import Sent, event
from tests.integration.test_erase import HIM, HIS, NOON, OTHERS, everything, known  # noqa: F401 - the same customer
from tests.operating import sillok, write_settings


def held(road, customer=HIM, **more):
    return held_of(road.operator, road.spool_folder, customer, "request 12", patience_s=0, **more)


def test_everything_of_his_is_found_and_nothing_of_hers(known):  # noqa: F811
    found = {place.name: place.rows for place in held(known).places}
    his, hers = ({str(known.sent[n].event_id) for n in numbers} for numbers in (HIS, OTHERS))
    assert {row["event_id"] for row in found["clean.events"]} == his
    assert {row["event_id"] for row in found["raw.events"]} == his
    assert len(found["raw.events"]) == 5, "the repeat and the conflict too"
    assert {row["session_id"] for row in found["clean.sessions"]} == {"own", "shared"}
    assert [len(found[name]) for name in ("ops.duplicates", "ops.dead_letters", "ops.rejected")] == [1, 1, 1]
    assert HIM in found["ops.rejected"][0]["body"]
    text = json.dumps(list(found.values()), ensure_ascii=False)
    assert not any(event_id in text for event_id in hers)


def test_whose_a_shared_session_was_as_well_is_not_told(road):
    """A device that two used: the session ended as hers, and that is not his to know."""
    his = event(session_id="s", client_id="c", seq=1, customer_id=HIM)
    hers = event(session_id="s", client_id="c", seq=2, customer_id="her")
    road.send(Sent([his, hers], at_us=NOON))
    found = {place.name: place.rows for place in held(road).places}
    assert road.values("select customer_id from clean.sessions") == ["her"]
    assert [row["customer_id"] for row in found["clean.sessions"]] == [None]
    assert {row.get("customer_id") for rows in found.values() for row in rows} == {HIM, None}


def test_the_archived_segments_are_searched(known):  # noqa: F811
    found = held(known)
    assert [(part.events, part.rejected) for part in found.archive] == [(3, 1), (1, 0)]
    assert (found.segments_searched, found.is_whole) == (2, True)


def test_what_is_shown_is_what_would_be_erased(known):  # noqa: F811
    shown = {row["event_id"] for place in held(known).places if place.name == "raw.events" for row in place.rows}
    assert erase_customer(known.operator, known.spool_folder, HIM, "request 13", patience_s=0).events == len(shown)
    after = held(known)
    assert not any(place.rows for place in after.places)
    assert after.archive == []


def test_nothing_is_changed_and_it_is_written_down_without_his_name(known):  # noqa: F811
    before = everything(known)
    held(known)
    (action,) = known.rows("select command, arguments, reason, result from ops.actions")
    assert (action["command"], action["reason"]) == ("held", "request 12")
    assert (action["result"]["clean.events"], action["result"]["archived segments"]) == (3, 2)
    assert HIM not in str(action)
    known.admin.execute(
        "set session_replication_role = replica; delete from ops.actions; reset session_replication_role"
    )
    assert everything(known) == before


def test_the_reason_may_not_name_him(known):  # noqa: F811
    with pytest.raises(UsageError, match="the reason names the customer"):
        held_of(known.operator, known.spool_folder, HIM, f"for {HIM}", patience_s=0)


def test_of_a_stranger_nothing_is_held(known):  # noqa: F811
    found = held(known, "nobody-knows")
    assert not any(place.rows for place in found.places)
    assert found.archive == []


@pytest.mark.parametrize(("source", "rows"), [("web", 3), ("app", 0)])
def test_one_sources_alone(known, source, rows):  # noqa: F811
    found = {place.name: place.rows for place in held(known, source=source).places}
    assert len(found["clean.events"]) == rows


def test_what_is_on_its_way_is_waited_for(known):  # noqa: F811
    known.spool.write(event(customer_id=HIM))
    with pytest.raises(UsageError, match="not yet loaded and processed"):
        held(known)


def test_the_command_prints_a_table_and_the_rows(known, tmp_path):  # noqa: F811
    settings = write_settings(known, tmp_path)
    table = sillok(settings, "held", "--customer", HIM, "--reason", "request 12")
    assert table.returncode == 0, table.stderr
    assert HIM not in table.stdout, "the table is for a ticket: it names nobody"
    for name in ("clean.events", "clean.identities", "raw.events", "ops.rejected", "archived segment"):
        assert name in table.stdout
    rows = json.loads(sillok(settings, "held", "--customer", HIM, "--reason", "request 12", "--json").stdout)
    assert {place["name"]: len(place["rows"]) for place in rows["places"]}["clean.events"] == 3
    assert sillok(settings, "held", "--customer", HIM).returncode == 2, "and why?"
