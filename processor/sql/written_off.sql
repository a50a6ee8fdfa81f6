-- What operators wrote off as lost: whole segments, and groups of which not even the header could be read.
-- Grain: one row per minute and action.
-- Reads: ops.audit, ops.actions.   Writes: nothing.
select a.minute,
    left(x.arguments ->> 'spool_id', 8) || '.' || (x.arguments ->> 'slot') || '.' || (x.arguments ->> 'segment'),
    case a.outcome when 'lost_groups' then 'groups' else 'segment' end, a.events, x.at, x.operator, x.reason
from ops.audit a
join ops.actions x using (action_id)
where a.minute >= %(from)s and a.minute < %(until)s and a.stage = 'operator'
    and a.outcome in ('lost_groups', 'lost_segments')
order by 1, 2
