-- How far loads and processing are.
-- Grain: one row.
-- Reads: ops.watermark, ops.slots, ops.loads, ops.waiting.   Writes: nothing.
-- Safe to repeat: yes.
select
    -- A clean stop everywhere leaves the watermark where it is, rightly. Where nothing is finished yet, it lags since a
    -- loader saw the first slot.
    (select case when all_final then 0
            else greatest(extract(epoch from now() - coalesce(finished_until, (select min(seen_at) from ops.slots))), 0) end
        from ops.watermark),
    (select extract(epoch from now() - loaded_at) from ops.loads order by load_id desc limit 1),
    count(w.load_id),
    coalesce(sum(w.loaded), 0),
    coalesce(extract(epoch from now() - min(l.loaded_at)), 0)
from ops.waiting w
join ops.loads l using (load_id)
