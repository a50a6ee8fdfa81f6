-- Makes the view of the batch with its canonical time, used by several statements of the run.
--
-- event_time is the client's time, moved by (received_at - sent_at) when that is beyond 60 s: one value per
-- batch, so the order within it stands. A time that is still impossible (over a day ahead of its receipt, or
-- more than 400 days behind) is replaced by received_at and flagged `clock_wrong`.
-- Spans are in hours, and compared as intervals: days cost a look at the calendar, `extract` a number of any length, and
-- the planner computes each step wherever a later one mentions it.
-- Reads: raw.events.   Writes: nothing.
create temporary view batch_timed as
select
    w.*,
    ops.day_of(w.event_time) as event_date,
    array_remove(array[
        case when w.event_time < w.received_at - interval '24 hours' then 'late' end,
        case when w.event_time > w.received_at + interval '10 minutes' then 'future' end,
        case when w.is_corrected and not w.is_wrong then 'clock_corrected' end,
        case when w.is_wrong then 'clock_wrong' end
    ], null) as time_flags
from (
    select t.*, case when t.is_wrong then t.received_at else t.moved_time end as event_time
    from (
        select m.*,
            coalesce(m.moved_time not between m.received_at - interval '9600 hours' and m.received_at + interval '24 hours', true)
                as is_wrong
        from (
            select c.*,
                c.received_at - c.sent_time not between interval '-60 seconds' and interval '60 seconds' as is_corrected,
                case
                    when c.received_at - c.sent_time not between interval '-60 seconds' and interval '60 seconds'
                        then c.client_time + (c.received_at - c.sent_time)
                    else c.client_time
                end as moved_time
            from (
                select r.*, r.tableoid as part, r.ctid as tid,
                    -- Outside 1970 to 2200 the number is no time, and its differences could overflow a timestamptz.
                    case when r.time between 0 and 7258118400000
                        then timestamptz 'epoch' + r.time * interval '1 millisecond' end as client_time,
                    case when r.sent_at between 0 and 7258118400000
                        then timestamptz 'epoch' + r.sent_at * interval '1 millisecond' end as sent_time
                from raw.events r
            ) c
        ) m
    ) t
) w
