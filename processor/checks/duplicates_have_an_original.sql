-- Proves: every duplicate's original is in clean, among the dead letters, or erased.
-- Grain: one row per duplicate without an original.
-- Reads: ops.duplicates, clean.events, ops.dead_letters.
-- Cost: a scan of the clean rows received since, hashed by id.
-- A duplicate whose original was received before the range is not looked at.
select d.source, d.event_id, d.event_type, d.received_at, d.first_received_at
from ops.duplicates d
where d.received_at >= %(since)s and d.first_received_at >= %(since)s
    and not exists (
        select from clean.events e
        where e.source = d.source and e.event_id = d.event_id and e.received_at >= %(since)s
    )
    -- A conflict is a second arrival itself and nobody's original.
    and not exists (
        select from ops.dead_letters l
        where l.source = d.source and l.event_id = d.event_id and l.reason <> 'id_conflict'
    )
    -- With ops.discarded:
    and not exists (select from ops.discarded g where g.source = d.source and g.event_id = d.event_id)
    -- End
