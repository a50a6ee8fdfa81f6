-- Proves: every clean event is the arrival that the deduplication state remembers, so a second copy cannot be one,
-- and none of the last 14 days has been forgotten.
-- Grain: one row per clean event that is not remembered.
-- Reads: clean.events, ops.dedup.
-- Cost: one probe of an index per clean row received since, or one hash of the state.
select e.source, e.event_id, e.event_date, e.received_at
from clean.events e
where e.received_at >= greatest(%(since)s, now() - interval '14 days')
    and not exists (
        select from ops.dedup d
        where d.event_id = e.event_id and d.source = e.source and d.received_at = e.received_at
            and d.arrived = ops.day_of(e.received_at)
    )
