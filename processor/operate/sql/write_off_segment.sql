-- Gives a segment that nobody can load any more its row in the ledger, with nothing in it, and a movement that says so.
-- It ends where the one before it does, so that no watermark is moved by a word. The processor claims it like any other.
-- Grain: one row, or none when nothing after it is loaded.
-- Reads: ops.loads.   Writes: ops.loads, action_moves.
-- Safe to repeat: no; a second time it fails on the ledger's key.
with neighbours as (
    select
        (select until from ops.loads where spool_id = %(spool_id)s and slot = %(slot)s and segment < %(segment)s
            order by segment desc limit 1) as before,
        (select until from ops.loads where spool_id = %(spool_id)s and slot = %(slot)s and segment > %(segment)s
            order by segment limit 1) as after
), entered as (
    insert into ops.loads (
        spool_id, slot, segment, content_sha256, frames, received, rejected, accepted, accepted_hash_sum,
        loaded, loaded_hash_sum, dead_lettered, damaged, until, final, recovered, torn_bytes
    )
    select %(spool_id)s, %(slot)s, %(segment)s, '', 0, 0, 0, 0, 0, 0, 0, 0, 0, coalesce(before, after, 'epoch'),
        false, true, 0
    from neighbours
    where after is not null or %(is_aside)s
    returning until
)
insert into action_moves (minute, source, event_type, outcome, events, hash_sum)
select date_trunc('minute', until), '', '', 'lost_segments', 1, 0 from entered
