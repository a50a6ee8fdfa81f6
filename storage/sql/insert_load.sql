-- Claims a segment: the ledger row, first of its transaction.
-- Grain: one row per segment.
-- Reads: nothing.   Writes: ops.loads.
-- Safe to repeat: yes; a second loader blocks on the key, then fails on it.
insert into ops.loads (
    spool_id, slot, segment, content_sha256, frames, received, rejected, accepted, accepted_hash_sum,
    loaded, loaded_hash_sum, dead_lettered, damaged, until, final, recovered, torn_bytes
) values (
    %(spool_id)s, %(slot)s, %(segment)s, %(content_sha256)s, %(frames)s, %(received)s, %(rejected)s,
    %(accepted)s, %(accepted_hash_sum)s, %(loaded)s, %(loaded_hash_sum)s, %(dead_lettered)s, %(damaged)s,
    %(until)s, %(final)s, %(recovered)s, %(torn_bytes)s
)
returning load_id
