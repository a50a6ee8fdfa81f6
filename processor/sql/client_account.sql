-- What SDK instances say they made, beside what arrived; what neither arrived nor is accounted for vanished.
-- An instance silent for 7 days has nothing pending any more. Shown, never balanced by force.
-- Anybody may report figures of any size: they are added as numeric and shown up to the largest bigint.
-- Grain: one row per source, platform and app version, over the instances that reported within the range.
-- Reads: ops.clients, clean.events, ops.rejected, ops.dead_letters.   Writes: nothing.
with reporting as (
    select * from ops.clients where last_seen >= %(from)s and first_seen < %(until)s
), arrived as (
    select e.source, e.client_id, count(*) as events
    from clean.events e
    where e.event_date >= ops.day_of(%(from)s) - 30
        and (e.source, e.client_id) in (select source, client_id from reporting)
    group by 1, 2
), refused as (
    select r.source, r.client_id, count(*) as events
    from ops.rejected r
    where (r.source, r.client_id) in (select source, client_id from reporting)
    group by 1, 2
), account as (
    select c.source, coalesce(c.platform, '') as platform, coalesce(c.app_version, '') as app_version,
        c.created::numeric as created, c.dropped_total::numeric as dropped_total, coalesce(a.events, 0) + coalesce(r.events, 0) as arrived,
        case when c.last_seen < now() - interval '7 days' then 0 else c.pending::numeric end as pending
    from reporting c
    left join arrived a using (source, client_id)
    left join refused r using (source, client_id)
)
select source, platform, app_version, count(*) as instances, least(sum(created), 9223372036854775807)::bigint as created,
    sum(arrived)::bigint as arrived, least(sum(dropped_total), 9223372036854775807)::bigint as dropped,
    -- What the last report called pending and has arrived since is no longer pending.
    least(sum(least(pending, greatest(created - dropped_total - arrived, 0))), 9223372036854775807)::bigint as pending,
    least(sum(greatest(created - dropped_total - arrived - pending, 0)), 9223372036854775807)::bigint as vanished
from account
group by 1, 2, 3
order by 1, 2, 3
