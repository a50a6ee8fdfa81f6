-- Returns the loads that may hold an arrival: of its minute, with events of its source.
-- Grain: one row per load.
-- Reads: ops.audit.   Writes: nothing.
select distinct load_id
from ops.audit
where stage = 'load' and minute = any(%(minutes)s) and source = any(%(sources)s)
