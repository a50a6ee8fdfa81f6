-- Leaves rows of the batch out of its cleaning: those refused become dead letters with their reason; in a trial
-- also those from a position on. First arrivals are remembered all the same: a second one is their duplicate.
-- A row's position within its load is its place on the disk, which stands: raw is append-only.
-- Grain: one row per event left out.
-- Reads: raw.events, batch_repeats.   Writes: batch_repeats, ops.dead_letters, batch_counts.
with numbered as (
    select tableoid as part, ctid as tid, row_number() over (order by tableoid, ctid) - 1 as position
    from raw.events
    where load_id = any(%(load_ids)s) and received_at between %(received_from)s and %(received_until)s
), chosen as (
    select n.part, n.tid, n.position, refused.detail
    from numbered n
    left join unnest(%(refused)s::bigint[], %(details)s::text[]) as refused (position, detail) using (position)
    where (n.position >= %(until)s or refused.detail is not null)
        and not exists (select from batch_repeats b where b.part = n.part and b.tid = n.tid)
), left_out as (
    insert into batch_repeats
    select r.tableoid, r.ctid, r.load_id, r.received_at, r.source, r.event_type, r.event_id, r.received_at, false
    from raw.events r
    join chosen on chosen.part = r.tableoid and chosen.tid = r.ctid
    where r.load_id = any(%(load_ids)s) and r.received_at between %(received_from)s and %(received_until)s
), buried as (
    insert into ops.dead_letters
        (stage, load_id, run_id, received_at, source, event_type, event_id, reason, detail, body)
    select 'process', r.load_id, %(run_id)s, r.received_at, r.source, r.event_type, r.event_id, 'cannot_clean',
        chosen.detail, to_jsonb(r)::text
    from raw.events r
    join chosen on chosen.part = r.tableoid and chosen.tid = r.ctid
    where chosen.detail is not null
        and r.load_id = any(%(load_ids)s) and r.received_at between %(received_from)s and %(received_until)s
    returning received_at, source, event_type, event_id
)
insert into batch_counts (stage, run_id, minute, source, event_type, outcome, events, hash_sum)
select 'process', %(run_id)s, date_trunc('minute', received_at), source, event_type, 'dead_lettered', count(*),
    ops.hash_sum(sum(ops.id_hash(event_id)))
from buried
group by date_trunc('minute', received_at), source, event_type
