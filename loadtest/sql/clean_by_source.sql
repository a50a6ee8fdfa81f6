-- How many events of each source the processor has counted as clean, of those received since a minute.
-- Grain: one row per source.
-- Reads: ops.audit.   Writes: nothing.
select source, sum(events)::bigint
from ops.audit
where minute >= date_trunc('minute', %(since)s) and stage = 'process' and outcome = 'clean'
group by source
