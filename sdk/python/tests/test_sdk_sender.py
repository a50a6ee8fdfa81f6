"""What the sender does with each answer, without a network and without waiting."""

import json
import logging
import random
import time
import zlib

import pytest
from test_sdk_queue import SETTINGS, Clock

from sillok_sdk.queue import Queue
from sillok_sdk.sender import Pause, Sender
from sillok_sdk.wire import Envelope


class Scripted:
    """A transport that gives the next of its answers; an exception is raised."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.bodies = []
        self.headers = []
        self.timeouts = []

    def send(self, body, headers, timeout_s):
        self.headers.append(headers)
        self.timeouts.append(timeout_s)
        text = zlib.decompress(body, 31) if headers.get("Content-Encoding") == "gzip" else body
        self.bodies.append(json.loads(text))
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, tuple) else (answer, None, b'{"rejected":[],"receipt":"r"}')

    def close(self):
        pass


class Rig:
    def __init__(self, *answers, events=3, **settings):
        self.clock = Clock()
        settings = SETTINGS._replace(**settings)
        self.queue = Queue(settings, self.clock)
        self.transport = Scripted(*answers)
        self.sender = Sender(
            self.queue,
            Envelope("client-1", {"platform": "server", "app_version": "4.2.1"}),
            self.transport,
            {"Authorization": "Bearer k"},
            settings,
            clock=self.clock,
            jitter=lambda: 1.0,
        )
        for _ in range(events):
            self.queue.add(b'"platform":"server"', b'"x":1}')
        self.queue.flush(0)

    def step(self):
        batch = self.queue.take()
        return None if batch is None else self.sender.attempt(batch)

    def sent(self):
        return [[event["seq"] for event in body["events"]] for body in self.transport.bodies]


def test_200_settles_the_batch():
    rig = Rig(200)
    assert rig.step() == Pause(0)
    assert rig.queue.figures() == (3, 0, {})
    assert rig.step() is None


@pytest.mark.parametrize("status", [201, 202, 204, 301, 404, 408, 418, 500, 502, 504, 599])
def test_only_200_is_success_and_what_is_not_understood_is_tried_again(status):
    rig = Rig(status, 200)
    assert rig.step() == Pause(0.5)
    assert rig.step() == Pause(0)
    assert rig.sent() == [[1, 2, 3], [1, 2, 3]]
    assert rig.queue.figures() == (3, 0, {})


def test_no_answer_is_not_a_refusal():
    rig = Rig(TimeoutError(), ConnectionResetError(), ValueError("whatever a transport raises"), 200)
    assert [rig.step().seconds for _ in range(4)] == [0.5, 1.0, 2.0, 0]
    assert rig.sent() == [[1, 2, 3]] * 4


def test_the_back_off_doubles_up_to_its_cap_and_starts_again_after_a_success():
    rig = Rig(*[500] * 9, 200, 500)
    assert [rig.step().seconds for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    rig.step()
    rig.queue.add(b"c", b'"x":1}')
    rig.queue.flush(0)
    assert rig.step() == Pause(0.5)


def test_the_jitter_is_full():
    rig = Rig(500, 500)
    rig.sender._jitter = lambda: 0.25
    assert [rig.step().seconds for _ in range(2)] == [0.125, 0.25]


@pytest.mark.parametrize(("status", "reason"), [(400, "invalid"), (413, "too_large")])
def test_a_refused_batch_is_split_until_the_guilty_event_stands_alone(status, reason):
    rig = Rig(status, 200, status, status, 200)  # [1 2 3] → [1]; [2 3] → [2] is guilty; [3]
    while rig.step() is not None:
        pass
    assert rig.sent() == [[1, 2, 3], [1], [2, 3], [2], [3]]
    assert rig.queue.figures() == (3, 0, {reason: 1})


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_keeps_the_queue_and_is_tried_again_slowly(status):
    rig = Rig(status, status, 200)
    assert [rig.step().seconds for _ in range(3)] == [60, 60, 0]
    assert rig.queue.figures() == (3, 0, {})


@pytest.mark.parametrize("status", [429, 503])
def test_the_collector_says_how_long_to_wait(status):
    rig = Rig((status, 7.0, b""), (status, 86400.0, b""), (status, None, b""), 200)
    assert rig.step() == Pause(7.0, firm=True)
    assert rig.step() == Pause(300.0, firm=True)
    assert rig.step() == Pause(0.5)
    assert rig.step() == Pause(0)


def test_415_ends_compression_for_good():
    rig = Rig(415, 200, events=3, gzip_bytes_min=1)
    assert rig.step() == Pause(0)
    assert rig.step() == Pause(0)
    rig.queue.add(b"c", b'"x":1}')
    rig.queue.flush(0)
    rig.step()
    assert [headers.get("Content-Encoding") for headers in rig.transport.headers] == ["gzip", None, None]


def test_415_without_compression_is_tried_again_slowly():
    assert Rig(415).step() == Pause(0.5)


def test_only_large_bodies_are_compressed():
    small, large = Rig(gzip_bytes_min=1_024), Rig(gzip_bytes_min=1_024)
    large.queue.add(b"c", b'"x":"%s"}' % (b"x" * 1_024))
    large.queue.flush(0)
    small.step()
    large.step(), large.step()
    assert "Content-Encoding" not in small.transport.headers[0]
    assert large.transport.headers[1]["Content-Encoding"] == "gzip"


def test_a_body_carries_the_report_the_context_and_the_events():
    rig = Rig(200)
    rig.step()
    body = rig.transport.bodies[0]
    assert abs(body.pop("sent_at") / 1000 - time.time()) < 10
    assert body == {
        "clients": [
            {
                "id": "client-1",
                "sdk": "python/0.1.0",
                "platform": "server",
                "app_version": "4.2.1",
                "created": 3,
                "pending": 3,
                "dropped": {},
            }
        ],
        "context": {"client_id": "client-1", "platform": "server"},
        "events": [{"seq": 1, "x": 1}, {"seq": 2, "x": 1}, {"seq": 3, "x": 1}],
    }


def test_reports_are_cumulative_and_stamped_at_each_try():
    rig = Rig(500, 200, events=2, queue_events_max=3)
    rig.step()
    for _ in range(4):
        rig.queue.add(b"c", b'"x":1}')
    rig.step()
    figures = [
        (b["clients"][0]["created"], b["clients"][0]["pending"], b["clients"][0]["dropped"])
        for b in rig.transport.bodies
    ]
    assert figures == [(2, 2, {}), (6, 3, {"queue_full": 3})]


def test_a_drop_that_nothing_follows_is_reported_on_its_own():
    rig = Rig(400, 500, 200, events=1)
    while rig.step() is not None:
        pass
    assert rig.sent() == [[1], [], []]
    assert rig.transport.bodies[-1]["clients"][0]["dropped"] == {"invalid": 1}


def test_a_refused_report_is_not_repeated_for_ever():
    rig = Rig(400, 400, events=1)
    while rig.step() is not None:
        pass
    assert rig.sent() == [[1], []]


def test_closing_ends_with_a_report_that_nothing_is_pending():
    rig = Rig()
    rig.queue.close(rig.clock.now + 2)
    rig.sender.run()
    assert rig.sent() == [[1, 2, 3], []]
    assert rig.transport.bodies[-1]["clients"][0]["pending"] == 0


def test_closing_without_anything_new_says_nothing():
    rig = Rig(events=0)
    rig.queue.close(rig.clock.now + 2)
    rig.sender.run()
    assert rig.sent() == []


@pytest.mark.parametrize(("status", "pending", "dropped"), [(429, 0, {"closed": 3}), (503, 3, {})])
def test_closing_gives_up_when_the_collector_asks_for_more_time_than_there_is(status, pending, dropped):
    """A 503 may follow a write that reached the disk: those events are not counted as dropped."""
    rig = Rig((status, 60.0, b""))
    rig.queue.close(rig.clock.now + 2)
    rig.sender.run()
    assert rig.sent() == [[1, 2, 3], []]  # the last report says what was given up
    last = rig.transport.bodies[-1]["clients"][0]
    assert (last["pending"], last["dropped"]) == (pending, dropped)


def test_the_last_report_after_giving_up_is_tried_once():
    rig = Rig(*[(503, 60.0, b"")] * 5)
    rig.queue.close(rig.clock.now + 2)
    rig.sender.run()
    assert rig.sent() == [[1, 2, 3], []]


def test_a_request_at_close_may_not_outlast_the_deadline():
    rig = Rig(events=3, timeout_ms=10_000)
    rig.queue.close(rig.clock.now + 0.7)
    rig.step()
    assert rig.transport.timeouts == [pytest.approx(0.7)]


def test_each_kind_of_trouble_is_told_once_and_without_values(caplog):
    caplog.set_level(logging.WARNING, "sillok_sdk")
    rejection = b'{"receipt":"r","rejected":[{"index":0,"code":"invalid_field","message":"900101-1234567"}]}'
    rig = Rig(500, 500, OSError("900101-1234567"), OSError(), 401, 401, (200, None, rejection))
    while rig.step() is not None:
        pass
    told = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in told] == ["failed", "no_answer", "refused", "rejected"]
    assert "900101" not in "".join(told)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_collector_answers_every_event_has_one_fate(seed):
    """A guilty event is dropped alone; each other one arrives; order holds within a context; the figures add up."""
    dice = random.Random(seed)
    rig = Rig(events=0, queue_events_max=60, batch_events=dice.choice([1, 5, 40]))
    guilty = set(dice.sample(range(1, 201), 10))
    acknowledged = []

    def send(body, *_):
        parsed = json.loads(body)
        seqs = [event["seq"] for event in parsed["events"]]
        report = parsed["clients"][0]
        assert report["created"] == report["pending"] + sum(report["dropped"].values()) + len(acknowledged)
        fault = dice.random()
        if fault < 0.2:
            raise ConnectionError
        if fault < 0.4:
            return dice.choice([500, 202, 401, 415]), None, b""
        if guilty.intersection(seqs):
            return 400, None, b""
        acknowledged.extend((parsed["context"]["page_code"], seq) for seq in seqs) if seqs else None
        return 200, None, b'{"receipt":"r"}'

    rig.transport.send = send
    for step in range(200):
        rig.queue.add(b'"page_code":"%d"' % dice.randrange(5), b'"x":1}')
        rig.clock.now += dice.random()
        if step % 4 == 0:
            rig.step()
    rig.queue.flush(0)
    while rig.step() is not None:
        pass
    created, pending, dropped = rig.queue.figures()
    assert (created, pending) == (200, 0)
    assert len(acknowledged) + sum(dropped.values()) == 200
    assert len({seq for _, seq in acknowledged}) == len(acknowledged)
    for code in "01234":
        seqs = [seq for context, seq in acknowledged if context == code]
        assert seqs == sorted(seqs)


PORTAL = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Welcome to the hotel</body></html>"


@pytest.mark.parametrize(
    "text",
    [
        *(PORTAL, b"", b" ", b"OK", b"null", b"[]", b"{}", b'""', b"0", b"\xff\xfe", b"[" * 100_000, b'{"receipt":'),
        *(b'{"receipt":""}', b'{"receipt":null}', b'{"status":"ok"}', b'{"accepted":3,"rejected":[]}', b'["receipt"]'),
        *(b'{"receipt":true}', b'{"receipt":1}', b'{"receipt":["r"]}', b'{"receipt":{"id":"r"}}', b"\x1f\x8b\x08\x00"),
        *(b'{"error":{"code":"login_required"}}', b'"receipt"', b'{"rejected":[{"receipt":"r"}]}'),
    ],
)
def test_a_200_of_somebody_else_is_an_outage(text):
    """A captive portal, a sign-in page, a block page: without the receipt nobody has the events."""
    rig = Rig(*[(200, None, text)] * 3, 200)
    assert [rig.step().seconds for _ in range(4)] == [0.5, 1.0, 2.0, 0]
    assert rig.sent() == [[1, 2, 3]] * 4
    assert rig.queue.figures() == (3, 0, {})


@pytest.mark.parametrize("text", [PORTAL, b"Bad Request", b"[]", b'"blocked"', b"{}", b'{"message":"Bad Request"}'])
def test_a_block_page_s_400_does_not_throw_events_away(text):
    rig = Rig((400, None, text), (400, None, text), 200)
    assert [rig.step().seconds for _ in range(3)] == [0.5, 1.0, 0]
    assert rig.queue.figures() == (3, 0, {})


def test_a_report_is_told_again_until_the_collector_itself_has_it():
    rig = Rig(400, (200, None, PORTAL), 200, events=1)
    while rig.step() is not None:
        pass
    assert rig.sent() == [[1], [], []]


def test_closing_behind_a_portal_leaves_in_doubt_what_it_swallowed():
    rig = Rig(*[(200, None, PORTAL)] * 100)
    rig.sender._jitter = lambda: 0.0
    rig.queue.close(rig.clock.now + 2)
    rig.step()
    assert rig.queue.figures() == (3, 3, {})


def test_what_the_collector_rejects_is_counted_and_each_code_is_told_once(caplog):
    caplog.set_level(logging.WARNING, "sillok_sdk")
    entries = [
        {"index": 0, "code": "invalid_field", "field": "events[0].time", "message": "900101-1234567"},
        {"index": 1, "code": "props_too_large", "field": "events[1].props.900101-1234567", "message": ""},
    ]
    answer = json.dumps({"accepted": 1, "rejected": entries, "receipt": "r"}).encode()
    rig = Rig((200, None, answer), (200, None, answer), events=3)
    rig.step()
    assert rig.queue.figures() == (3, 0, {"rejected": 2})
    for _ in range(2):
        rig.queue.add(b'"platform":"server"', b'"x":1}')
    rig.queue.flush(0)
    while rig.step() is not None:
        pass
    assert rig.queue.figures() == (5, 0, {"rejected": 4})
    assert rig.transport.bodies[-1]["clients"][0]["dropped"] == {"rejected": 4}
    assert [record.getMessage() for record in caplog.records] == [
        "rejected: the collector does not accept an event: invalid_field (time)",
        "rejected: the collector does not accept an event: props_too_large (props)",
    ]


@pytest.mark.parametrize(
    "rejected", ["7", "{}", "null", "[7]", '[{"code":{}}]', "[[]]", '[{"code":"a"},{"code":"b"},{"code":"c"}]']
)
def test_a_list_of_rejections_that_makes_no_sense_does_no_harm(rejected):
    rig = Rig((200, None, b'{"receipt":"r","rejected":%s}' % rejected.encode()), events=2)
    while rig.step() is not None:
        pass
    created, pending, dropped = rig.queue.figures()
    assert (created, pending) == (2, 0)
    assert sum(dropped.values()) <= 2


def test_who_refuses_is_said(caplog):
    caplog.set_level(logging.WARNING, "sillok_sdk")
    for text in (b"", b'{"error":{"code":"unknown_key"}}', PORTAL):
        Rig((403, None, text)).step()
    assert ["write key" in record.getMessage() for record in caplog.records] == [True, True, False]
