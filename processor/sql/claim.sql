-- Claims whole ledger rows for one run, oldest first, up to about %(events_max)s events, or the one load asked for.
-- A load is claimed by being in ops.waiting, however late its transaction ended; never by a range of numbers.
-- Grain: one row per load.
-- Reads: ops.waiting.   Writes: ops.runs, ops.processed.
-- Safe to repeat: yes; the key of ops.processed stops a second claim of the same load.
with oldest as (
    -- No more than these, so that a ledger on which much waits is not read whole by each run.
    select load_id, loaded from ops.waiting
    where %(load_id)s::bigint is null or load_id = %(load_id)s
    order by load_id
    limit 1000
), chosen as (
    select load_id, loaded
    from (select load_id, loaded, sum(loaded) over (order by load_id) - loaded as before from oldest) summed
    where before < %(events_max)s
), run as (
    insert into ops.runs (loads, loaded)
    select count(*), sum(loaded) from chosen having count(*) > 0
    returning run_id
), claimed as (
    insert into ops.processed (load_id, run_id)
    select chosen.load_id, run.run_id from chosen cross join run
    returning load_id
)
select run.run_id, array_agg(c.load_id order by c.load_id) as load_ids, sum(c.loaded)::bigint as loaded,
    array_agg(c.load_id order by c.load_id) filter (where c.loaded > 0) as filled_ids
from run cross join chosen c
group by run.run_id
