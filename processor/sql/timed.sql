-- Makes the view of the batch with its canonical time, used by several statements of the run.
--
-- event_time is the client's time, moved by (received_at - sent_at) when that is beyond 60 s: one value per
-- batch, so the order within it stands. A time that is still impossible (over a day ahead of its receipt, or
-- more than 400 days behind) is replaced by received_at and flagged `clock_wrong`.
-- Each step is a subquery of its own that `offset 0` keeps apart: flattened into one expression, the planner would
-- compute the first step two dozen times a row. Spans are in hours: one of days costs a look at the calendar.
-- Reads: raw.events.   Writes: nothing.
create temporary view batch_timed as
select
    r.*, r.tableoid as part, r.ctid as tid, sent.client_time, sent.sent_time, final.event_time, flagged.event_date,
    flagged.time_flags
from raw.events r
cross join lateral (
    -- Outside 1970 to 2200 the number is no time, and its differences could overflow a timestamptz.
    select
        case when r.time between 0 and 7258118400000 then timestamptz 'epoch' + r.time * interval '1 millisecond' end
            as client_time,
        case when r.sent_at between 0 and 7258118400000
            then timestamptz 'epoch' + r.sent_at * interval '1 millisecond' end as sent_time
    offset 0
) sent
cross join lateral (
    select case when r.received_at - sent.sent_time not between interval '-60 seconds' and interval '60 seconds'
        then r.received_at - sent.sent_time end as moved_by
    offset 0
) moved
cross join lateral (
    select case when moved.moved_by is null then sent.client_time else sent.client_time + moved.moved_by end as moved_time
    offset 0
) placed
cross join lateral (
    select coalesce(
        placed.moved_time not between r.received_at - interval '9600 hours' and r.received_at + interval '24 hours', true
    ) as is_wrong
    offset 0
) judged
cross join lateral (
    select case when judged.is_wrong then r.received_at else placed.moved_time end as event_time
    offset 0
) final
cross join lateral (
    select ops.day_of(final.event_time) as event_date,
        case
            when judged.is_wrong then array['clock_wrong']
            else case when final.event_time < r.received_at - interval '24 hours' then array['late'] else '{}'::text[] end
                || case when final.event_time > r.received_at + interval '10 minutes' then array['future'] else '{}' end
                || case when moved.moved_by is not null then array['clock_corrected'] else '{}' end
        end as time_flags
    offset 0
) flagged
