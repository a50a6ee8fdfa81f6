"""The queue and its account, on a clock of its own."""

from sillok_sdk.queue import Queue
from sillok_sdk.settings import Settings

SETTINGS = Settings(
    batch_events=3,
    batch_bytes=1_000,
    flush_interval_ms=1_000,
    queue_events_max=10,
    queue_bytes_max=10_000,
    timeout_ms=1_000,
    close_timeout_ms=1_000,
    gzip_bytes_min=None,
    retry_first_ms=500,
    retry_max_ms=30_000,
    refused_retry_ms=60_000,
)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def rig(**settings):
    clock = Clock()
    return Queue(SETTINGS._replace(**settings), clock), clock


def taken(queue):
    """Take and acknowledge all that is due: [(context, [seq, …]), …]."""
    batches = []
    while (batch := queue.take()) is not None:
        batches.append((batch.context.decode(), [int(event[7 : event.index(b",")]) for event in batch.events]))
        queue.acknowledge(batch, queue.figures())
    return batches


def test_a_batch_is_due_when_full_or_when_old_enough():
    queue, clock = rig()
    for _ in range(4):
        queue.add(b"c", b'"x":1}')
    assert taken(queue) == [("c", [1, 2, 3])]
    clock.now += 0.9
    assert taken(queue) == []
    clock.now += 0.1
    assert taken(queue) == [("c", [4])]


def test_interleaved_contexts_share_batches_and_keep_their_order():
    queue, clock = rig(queue_events_max=100)
    for _ in range(4):
        for context in (b"a", b"b", b"c"):
            queue.add(context, b'"x":1}')
    clock.now += 1.0
    assert taken(queue) == [
        ("a", [1, 4, 7]),
        ("b", [2, 5, 8]),
        ("c", [3, 6, 9]),
        ("a", [10]),
        ("b", [11]),
        ("c", [12]),
    ]


def test_a_busy_context_does_not_keep_a_quiet_one_waiting():
    queue, clock = rig(queue_events_max=100)
    queue.add(b"quiet", b'"x":1}')
    clock.now += 1.0
    for _ in range(6):
        queue.add(b"busy", b'"x":1}')
    assert [context for context, _ in taken(queue)] == ["quiet", "busy", "busy"]


def test_a_backlog_goes_before_a_younger_batch_that_could_still_grow():
    queue, clock = rig(queue_events_max=100)
    for _ in range(3):
        queue.add(b"busy", b'"x":1}')
    clock.now += 5.0
    queue.add(b"quiet", b'"x":1}')
    clock.now += 5.0
    assert [context for context, _ in taken(queue)] == ["busy", "quiet"]


def test_a_batch_stays_below_its_bytes_unless_one_event_alone_is_larger():
    queue, _ = rig(batch_bytes=100)
    for size in (30, 30, 30, 300, 30):
        queue.add(b"c", b'"x":"%s"}' % (b"x" * size))
    queue.flush(0)
    assert taken(queue) == [("c", [1, 2]), ("c", [3]), ("c", [4]), ("c", [5])]


def test_a_full_queue_drops_the_new_event_and_counts_it():
    queue, _ = rig(queue_events_max=4)
    for _ in range(9):
        queue.add(b"c", b'"x":1}')
    assert queue.figures() == (9, 4, {"queue_full": 5})
    queue.flush(0)
    assert [seqs for _, seqs in taken(queue)] == [[1, 2, 3], [4]]
    queue.add(b"c", b'"x":1}')
    queue.flush(0)
    assert taken(queue) == [("c", [10])]
    assert queue.figures() == (10, 0, {"queue_full": 5})


def test_memory_is_bounded_in_bytes_too():
    queue, _ = rig(queue_bytes_max=1_000, batch_bytes=400)
    for _ in range(5):
        queue.add(b"c", b"x" * 300)
    assert queue.figures() == (5, 3, {"queue_full": 2})


def test_a_tried_batch_stays_first():
    queue, clock = rig(queue_events_max=100)
    queue.add(b"first", b'"x":1}')
    clock.now += 1.0
    first = queue.take()
    queue.keep(first, in_doubt=True)
    for _ in range(3):
        queue.add(b"later", b'"x":1}')
    clock.now += 60.0
    assert queue.take() is first


def test_halves_take_the_place_of_the_batch():
    queue, clock = rig(batch_events=5, queue_events_max=100)
    for _ in range(8):
        queue.add(b"c", b'"x":1}')
    batch = queue.take()
    queue.split(batch)
    clock.now += 1.0
    assert taken(queue) == [("c", [1, 2]), ("c", [3, 4, 5]), ("c", [6, 7, 8])]


def test_the_figures_add_up_after_every_step():
    queue, clock = rig(queue_events_max=20)
    acknowledged = 0
    for step in range(400):
        queue.add(b"%d" % (step % 4), b'"x":1}')
        clock.now += 0.1
        if step % 3 == 0 and (batch := queue.take()) is not None and batch.events:
            if step % 2:
                queue.drop(batch, "invalid", queue.figures())
            elif len(batch.events) > 1 and step % 5 == 0:
                queue.split(batch)
            else:
                queue.acknowledge(batch, queue.figures())
                acknowledged += len(batch.events)
        created, pending, dropped = queue.figures()
        assert created == step + 1 == pending + acknowledged + sum(dropped.values())
    assert set(dropped) == {"invalid", "queue_full"}


def test_closing_gives_up_at_the_deadline_and_counts_what_it_gave_up():
    queue, clock = rig(queue_events_max=100)
    for _ in range(7):
        queue.add(b"c", b'"x":1}')
    queue.close(clock.now + 1.0)
    flying = queue.take()
    clock.now += 1.0
    queue.give_up()
    assert queue.figures() == (7, 3, {"closed": 4})  # the fate of what is in flight is not known yet
    queue.acknowledge(flying, queue.figures())
    assert queue.figures() == (7, 0, {"closed": 4})


def test_what_was_in_flight_at_the_deadline_and_was_refused_is_given_up_too():
    for refuse in (lambda queue, batch: queue.keep(batch, in_doubt=False), Queue.split):
        queue, clock = rig(queue_events_max=100)
        for _ in range(7):
            queue.add(b"c", b'"x":1}')
        queue.close(clock.now + 1.0)
        flying = queue.take()
        queue.give_up()
        refuse(queue, flying)
        assert queue.figures() == (7, 0, {"closed": 7})


def test_what_the_collector_may_have_is_never_counted_as_dropped():
    """Were it dropped here and arrived there, more would be accounted for than was created."""
    for fail_before_the_deadline in (True, False):
        queue, clock = rig(queue_events_max=100)
        for _ in range(7):
            queue.add(b"c", b'"x":1}')
        queue.close(clock.now + 1.0)
        flying = queue.take()
        if fail_before_the_deadline:
            queue.keep(flying, in_doubt=True)
            queue.split(queue.take())  # the halves of a batch in doubt are in doubt
            clock.now += 1.0
        else:
            queue.give_up()
            queue.keep(flying, in_doubt=True)
        report = queue.take()
        assert report.events == []
        assert queue.figures() == (7, 3, {"closed": 4})
        queue.acknowledge(report, queue.figures())
        assert queue.take() is None
        assert queue.flush(None)  # nobody waits for what is settled elsewhere


def test_an_event_after_close_is_counted_as_closed():
    queue, clock = rig()
    queue.close(clock.now)
    queue.add(b"c", b'"x":1}')
    assert queue.figures() == (1, 0, {"closed": 1})
