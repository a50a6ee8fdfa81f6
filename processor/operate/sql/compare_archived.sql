-- Says of each event of an archived segment what the database lacks of it: its raw row, or whatever became of it.
-- What was erased, purged, discarded or dead-lettered lacks nothing. Equal arrivals are counted, not told apart.
-- Grain: one row per event of the segment.
-- Reads: archived, raw.events, clean.events, ops.duplicates, ops.dead_letters, ops.discarded, ops.purges, ops.tombstones.
-- Writes: archived (fate), which it returns.
with numbered as (
    select *, row_number() over (partition by received_at, source, event_id order by number) as nth from archived
), raw_rows as (
    select received_at, source, event_id, count(*) as n
    from raw.events
    where load_id = %(load_id)s and received_at between %(received_from)s and %(received_until)s
    group by received_at, source, event_id
), ends as (
    select received_at, source, event_id, 'process' as stage from clean.events
    where received_at between %(received_from)s and %(received_until)s
        and (source, event_id) in (select source, event_id from archived)
    union all
    select received_at, source, event_id, 'process' from ops.duplicates
    where load_id = %(load_id)s and event_id in (select event_id from archived)
    union all
    select received_at, source, event_id, stage from ops.dead_letters
    where load_id = %(load_id)s and event_id in (select event_id from archived)
    union all
    select received_at, source, event_id, stage from ops.discarded
    where load_id = %(load_id)s and event_id in (select event_id from archived)
), ended as (
    select received_at, source, event_id, count(*) as n, count(*) filter (where stage = 'load') as never_loaded
    from ends group by received_at, source, event_id
), erased as (
    select * from ops.erased_among(
        (select array_agg(source order by number) from archived), (select array_agg(event_id order by number) from archived))
), judged as (
    select n.number,
        n.nth > coalesce(r.n, 0) + coalesce(e.never_loaded, 0) as lacks_raw,
        n.nth > coalesce(e.n, 0) and %(is_processed)s as lacks_end
    from numbered n
    left join raw_rows r using (received_at, source, event_id)
    left join ended e using (received_at, source, event_id)
    where (n.source, n.event_id) not in (select source, event_id from erased)
        and not exists (select from ops.purges p where p.source = n.source and n.received_at < p.until)
)
update archived a
set fate = case when j.lacks_end and j.lacks_raw then 'both' when j.lacks_end then 'end' else 'raw' end
from judged j
where j.number = a.number and (j.lacks_end or j.lacks_raw)
returning a.number, a.fate, a.received_at
