-- Claims whole ledger rows for one run, oldest first, up to about %(events_max)s events.
-- Grain: one row per load.
-- Reads: ops.loads, ops.processed.   Writes: ops.runs, ops.processed.
-- Safe to repeat: yes; the key of ops.processed stops a second claim of the same load.
with waiting as (
    select l.load_id, l.loaded, sum(l.loaded) over (order by l.load_id) - l.loaded as before
    from ops.loads l
    where not exists (select from ops.processed p where p.load_id = l.load_id)
), chosen as (
    select load_id, loaded from waiting where before < %(events_max)s
), run as (
    insert into ops.runs (loads, loaded)
    select count(*), sum(loaded) from chosen having count(*) > 0
    returning run_id
), claimed as (
    insert into ops.processed (load_id, run_id)
    select chosen.load_id, run.run_id from chosen cross join run
    returning load_id
)
select run.run_id, array_agg(c.load_id order by c.load_id) as load_ids, sum(c.loaded) as loaded
from run cross join chosen c
group by run.run_id
