-- Proves: event_date, by which analysts filter, is the day of event_time in Korea, and lies within reach of the receipt.
-- Grain: one row per event on another day.
-- Reads: clean.events.
-- Cost: a scan of the clean rows received since.
select source, event_id, event_date, event_time, received_at
from clean.events
where received_at >= %(since)s
    and (
        event_date <> (event_time at time zone interval '9 hours')::date
        or event_time not between received_at - interval '400 days' and received_at + interval '1 day'
    )
