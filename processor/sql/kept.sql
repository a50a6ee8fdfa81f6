-- What the tables hold that have a time, or whose time is an operator's: the oldest day, and how much disk it takes.
-- Grain: one row per table.
-- Reads: the catalogue, clean.sessions, ops.rejected, ops.duplicates, ops.dead_letters, ops.visitor_keys.   Writes: nothing.
with partitions as (
    -- ops.dedup's are named after their week's last day.
    select i.inhparent::regclass::text as name,
        min(to_date(right(c.relname, 8), 'YYYYMMDD')) - case when i.inhparent = 'ops.dedup'::regclass then 6 else 0 end as oldest,
        sum(pg_total_relation_size(c.oid))::bigint as bytes
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where c.relname ~ '_\d{8}$'
        and i.inhparent in ('raw.events'::regclass, 'clean.events'::regclass, 'clean.page_views'::regclass,
            'ops.dedup'::regclass)
    group by i.inhparent
), days (name, oldest) as (
    select 'clean.sessions', min(session_date) from clean.sessions
    union all
    select 'ops.rejected', ops.day_of(min(received_at)) from ops.rejected
    union all
    select 'ops.duplicates', ops.day_of(min(received_at)) from ops.duplicates
    union all
    select 'ops.dead_letters', ops.day_of(min(created_at)) from ops.dead_letters
    union all
    select 'ops.visitor_keys', min(day) from ops.visitor_keys
), others (name) as (
    values ('clean.identities'), ('ops.identity_events'), ('ops.discarded'), ('ops.clients'), ('ops.loads'), ('ops.audit'), ('ops.actions'),
        ('ops.tombstones')
)
select name, oldest, bytes from partitions
union all
select name, oldest, pg_total_relation_size(name::regclass) from days
union all
select name, null, pg_total_relation_size(name::regclass) from others
