-- Lists what is lost by the ledger and not written off: groups that recovery could not read, numbers that were skipped.
-- Grain: one row per segment.
-- Reads: ops.audit, ops.loads, ops.slots, ops.finished, ops.actions.   Writes: nothing.
-- Safe to repeat: yes. Numbers up to the slot's mark are all there, so the ledger is read beyond it alone.
with written_off as (
    select (arguments ->> 'spool_id')::uuid as spool_id, (arguments ->> 'slot')::int as slot,
        (arguments ->> 'segment')::bigint as segment, result ->> 'kind' as kind
    from ops.actions where command = 'spool write-off'
), numbers as (
    select l.spool_id, l.slot, l.segment,
        lag(l.segment, 1, coalesce(f.segment, 0)) over (partition by l.spool_id, l.slot order by l.segment) as before
    from ops.loads l
    join ops.slots s on s.spool_id = l.spool_id and s.slot = l.slot and s.retired_at is null
    left join ops.finished f on f.spool_id = l.spool_id and f.slot = l.slot
    where l.segment > coalesce(f.segment, 0)
)
select l.spool_id, l.slot, l.segment, 'groups', sum(a.events)::bigint, min(a.minute)
from ops.audit a
join ops.loads l using (load_id)
where a.minute >= %(from)s and a.minute < %(until)s and a.stage = 'spool' and a.outcome = 'lost_groups'
    and not exists (
        select from written_off w
        where (w.spool_id, w.slot, w.segment) = (l.spool_id, l.slot, l.segment) and w.kind = 'groups'
    )
group by l.spool_id, l.slot, l.segment
union all
select spool_id, slot, missing, 'segment', null, null
from numbers
cross join lateral generate_series(before + 1, segment - 1) as missing
order by 1, 2, 3
