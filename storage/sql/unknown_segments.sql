-- Returns those of a slot's archived segments that the ledger does not know, in order.
-- Grain: one row per segment.
-- Reads: ops.loads.   Writes: nothing.
-- Safe to repeat: yes. A segment is archived after its ledger row is committed, and listed before it is asked for.
select segment
from unnest(%(segments)s::bigint[]) as archived (segment)
where not exists (
    select from ops.loads
    where spool_id = %(spool_id)s and slot = %(slot)s and loads.segment = archived.segment
)
order by segment
