-- Proves: no event is in clean twice.
-- Grain: one row per source and event_id that is there more than once.
-- Reads: clean.events.
-- Cost: a scan of the clean rows received since, grouped by id.
-- A first copy from before the range is found by clean_holds_the_first_arrival.
select source, event_id, count(*) as copies, min(received_at) as first_received_at, max(received_at) as last_received_at
from clean.events
where received_at >= %(since)s
group by source, event_id
having count(*) > 1
