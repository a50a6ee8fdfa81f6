-- What SDK instances say they made, day by day, beside what arrived; what neither arrived nor is accounted for vanished.
--
-- An instance numbers its events 1, 2, 3 …, so a number that is missing was made between its neighbours: it takes
-- the Korean day of the next one that arrived, the last ones that of the instance's last report. Of the missing, in
-- their order, first those that arrived without their number (refused at the door) or were erased since, then those the
-- instance gave up on, by reason; the newest are pending; what is left between has vanished. An instance silent for
-- 7 days has nothing pending any more.
-- Anybody may report figures of any size: they are added as numeric and shown up to the largest bigint.
-- Grain: one row per Korean day, source, platform and app version, of the instances that reported around the range.
-- Reads: ops.clients, clean.events, ops.rejected.   Writes: nothing.
with reporting as materialized (
    select * from ops.clients
    where last_seen >= %(from)s and first_seen < %(until)s::timestamptz + interval '7 days'
), horizon as materialized (
    -- An instance may send for a while before it first reports; a day is more than any does. Instances can be months old
    -- (a server's): of these, what was received longer ago is left out.
    select greatest(min(first_seen) - interval '1 day', %(from)s::timestamptz - interval '7 days') as moment from reporting
), arrived as materialized (
    select e.source, e.client_id, e.event_date as day, e.seq
    from clean.events e
    where e.received_at >= (select moment from horizon)
        and (e.source, e.client_id) in (select source, client_id from reporting)
), steps as (
    select source, client_id, day, seq - coalesce(lag(seq) over numbers, case
            when c.first_seen < (select moment from horizon) then seq - 1 else 0
        end) - 1 as missing
    from (select distinct on (source, client_id, seq) * from arrived where seq > 0 order by source, client_id, seq, day) a
    join reporting c using (source, client_id)
    window numbers as (partition by source, client_id order by seq)
), gaps as (
    select source, client_id, day, missing::numeric from steps where missing > 0
    union all
    select c.source, c.client_id, ops.day_of(c.last_seen), c.created::numeric - coalesce(a.last_seq, 0)
    from reporting c
    left join (select source, client_id, max(seq) as last_seq from arrived group by 1, 2) a using (source, client_id)
    where c.created > coalesce(a.last_seq, 0)
), missing as (
    select source, client_id, day, sum(missing) as events,
        sum(sum(missing)) over (partition by source, client_id order by day) - sum(missing) as starts
    from gaps
    group by 1, 2, 3
), unnumbered as (
    select source, client_id, sum(events) as events
    from (
        select r.source, r.client_id, count(*) as events
        from ops.rejected r
        where (r.source, r.client_id) in (select source, client_id from reporting)
        group by 1, 2
        union all
        select source, client_id, count(*) from arrived where coalesce(seq, 0) <= 0 group by 1, 2
        union all
        select source, client_id, removed from reporting where removed > 0
    ) found
    group by 1, 2
), known as (
    select c.source, c.client_id, 1 as nth, 'arrived' as fate, '' as reason, u.events
    from reporting c join unnumbered u using (source, client_id)
    union all
    select c.source, c.client_id, 2, 'dropped', d.key, (d.value #>> '{}')::numeric
    from reporting c cross join lateral jsonb_each(c.dropped) d
    where jsonb_typeof(d.value) = 'number'
        and d.key <> 'rejected'  -- these arrived, and are counted above
), total as (
    select source, client_id, sum(events) as missing from missing group by 1, 2
), rest as (
    select t.source, t.client_id, t.missing - coalesce(k.events, 0) as events,
        case when c.last_seen < now() - interval '7 days' then 0 else c.pending::numeric end as pending
    from total t
    join reporting c using (source, client_id)
    left join (select source, client_id, sum(events) as events from known group by 1, 2) k using (source, client_id)
), fates as (
    select *, sum(events) over (partition by source, client_id order by nth, reason) - events as starts
    from (
        select * from known
        union all
        select source, client_id, 3, 'vanished', '', greatest(events - pending, 0) from rest
        union all
        select source, client_id, 4, 'pending', '', greatest(least(events, pending), 0) from rest
    ) all_fates
), placed as (
    select m.source, m.client_id, m.day, f.fate, f.reason,
        least(m.starts + m.events, f.starts + f.events) - greatest(m.starts, f.starts) as events
    from missing m
    join fates f on f.source = m.source and f.client_id = m.client_id
        and f.starts < m.starts + m.events and m.starts < f.starts + f.events
    union all
    select source, client_id, day, 'arrived', '', count(*) from arrived where seq > 0 group by 1, 2, 3
    union all
    -- What arrived without a number and without a gap to put it in.
    select u.source, u.client_id, ops.day_of(c.last_seen), 'arrived', '', u.events - least(u.events, coalesce(t.missing, 0))
    from unnumbered u join reporting c using (source, client_id) left join total t using (source, client_id)
    where u.events > coalesce(t.missing, 0)
), account as (
    select p.day, p.source, coalesce(c.platform, '') as platform, coalesce(c.app_version, '') as app_version,
        p.client_id, p.fate, p.reason, p.events
    from placed p
    join reporting c using (source, client_id)
    where p.day between ops.day_of(%(from)s) and ops.day_of(%(until)s::timestamptz - interval '1 microsecond')
), dropped as (
    select day, source, platform, app_version, jsonb_object_agg(reason, events) as reasons
    from (
        select day, source, platform, app_version, reason, least(sum(events), 9223372036854775807)::bigint as events
        from account where fate = 'dropped' group by 1, 2, 3, 4, 5
    ) by_reason
    group by 1, 2, 3, 4
)
select a.day, a.source, a.platform, a.app_version, count(distinct a.client_id) as instances,
    least(sum(a.events), 9223372036854775807)::bigint as created,
    least(coalesce(sum(a.events) filter (where a.fate = 'arrived'), 0), 9223372036854775807)::bigint as arrived,
    coalesce(d.reasons, '{}') as dropped,
    least(coalesce(sum(a.events) filter (where a.fate = 'pending'), 0), 9223372036854775807)::bigint as pending,
    least(coalesce(sum(a.events) filter (where a.fate = 'vanished'), 0), 9223372036854775807)::bigint as vanished
from account a
left join dropped d using (day, source, platform, app_version)
group by 1, 2, 3, 4, d.reasons
order by 1, 2, 3, 4
