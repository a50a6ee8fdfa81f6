-- Returns what is needed to try them again.
-- Grain: one row per dead letter that is still there.
-- Reads: ops.dead_letters, ops.loads, ops.processed, ops.dedup, clean.events.   Writes: nothing.
with taken as (
    select * from ops.dead_letters where dead_letter_id = any(%(ids)s)
), originals as (
    select c.source, c.event_id
    from clean.events c
    where (c.source, c.event_id) in (select source, event_id from taken where reason = 'id_conflict')
)
select t.dead_letter_id, t.stage, t.load_id, t.received_at, t.source, t.event_id, t.body,
    l.spool_id, l.slot, l.segment, p.load_id is not null as is_processed,
    t.reason = 'id_conflict' and (
        (t.source, t.event_id) in (select source, event_id from originals)
        or exists (
            select from ops.dedup d
            where d.source = t.source and d.event_id = t.event_id
                and d.content_hash <> (t.body::jsonb ->> 'content_hash')::bigint
        )
    ) as still_conflicts
from taken t
left join ops.loads l on l.load_id = t.load_id
left join ops.processed p on p.load_id = t.load_id
order by t.dead_letter_id
