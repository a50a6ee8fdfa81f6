-- Moves a loaded segment's lost groups to what is written off.
-- Grain: one row per minute.
-- Reads: ops.audit, ops.loads, ops.actions.   Writes: action_moves.
-- Safe to repeat: yes; what was written off is not moved again.
insert into action_moves (minute, source, event_type, outcome, events, hash_sum)
select a.minute, a.source, a.event_type, 'lost_groups', sum(a.events), 0
from ops.loads l
join ops.audit a using (load_id)
where l.spool_id = %(spool_id)s and l.slot = %(slot)s and l.segment = %(segment)s
    and a.stage = 'spool' and a.outcome = 'lost_groups'
    and not exists (
        select from ops.actions x
        where x.command = 'spool write-off' and x.result ->> 'kind' = 'groups'
            and x.arguments = jsonb_build_object('spool_id', l.spool_id, 'slot', l.slot, 'segment', l.segment)
    )
group by a.minute, a.source, a.event_type
