-- A collector whose clock is ahead of the database's must not finish what has not come.
--
-- `until` is the collector's word, `loaded_at` the database's. A segment that was loaded before it ends, by more than
-- clocks differ that are kept, proves nothing of the time in between: when that clock is put right, the slot goes on with
-- earlier times. So its slot counts as finished up to the last segment before, and waits there; it goes on with the first
-- segment whose end has come. What the watermark says then never has to be taken back.

create or replace view ops.slot_progress as
select
    s.spool_id,
    s.slot,
    s.last_segment,
    s.retired_at,
    p.finished_segment,
    case when p.is_ahead then believed.until else p.until end as until,
    p.final and p.finished_segment = s.last_segment as is_final,
    p.until as stamped_until,
    coalesce(p.is_ahead, false) as is_ahead
from ops.slots s
left join ops.finished f on f.spool_id = s.spool_id and f.slot = s.slot
left join lateral (
    select l.segment as finished_segment, l.until, l.final, l.until > l.loaded_at + interval '5 seconds' as is_ahead
    from ops.loads l
    where l.spool_id = s.spool_id and l.slot = s.slot and l.segment >= coalesce(f.segment, 0)
        and l.segment < coalesce(
            -- The first segment that is missing or not processed. Asked for by order and limit, the few rows beyond
            -- the mark are read along the key, and the ledger before it not at all.
            (
                select gap.segment from (
                    select l2.segment,
                        l2.segment - lag(l2.segment, 1, coalesce(f.segment, 0)) over (order by l2.segment) as step,
                        (select p2.run_id from ops.processed p2 where p2.load_id = l2.load_id) is null as unprocessed
                    from ops.loads l2
                    where l2.spool_id = s.spool_id and l2.slot = s.slot and l2.segment > coalesce(f.segment, 0)
                ) gap
                where gap.step <> 1 or gap.unprocessed
                order by gap.segment
                limit 1
            ),
            9223372036854775807
        )
    order by l.segment desc
    limit 1
) p on true
left join lateral (
    select b.until
    from ops.loads b
    where p.is_ahead and b.spool_id = s.spool_id and b.slot = s.slot and b.segment < p.finished_segment
        and b.until <= b.loaded_at + interval '5 seconds'
    order by b.segment desc
    limit 1
) believed on true;

create or replace view ops.watermark as
select
    -- Clocks that are kept differ by moments: the future is finished by none of them.
    case
        when all_closed then case when latest <= now() then latest when latest is not null then now() end
        -- A living slot of which nothing is finished yet holds everybody back.
        when not blocked then case when earliest <= now() then earliest when earliest is not null then now() end
    end as finished_until,
    all_closed and not some_ahead as all_final
from (
    select
        coalesce(bool_and(is_closed), false) as all_closed,
        max(until) as latest,
        min(until) filter (where not is_closed) as earliest,
        coalesce(bool_or(until is null and not is_closed), true) as blocked,
        coalesce(bool_or(stamped_until > now() + interval '5 seconds' and retired_at is null), false) as some_ahead
    from (
        select until, stamped_until, retired_at, coalesce(is_final, false) or retired_at is not null as is_closed
        from ops.slot_progress
    ) slots
) summed;
