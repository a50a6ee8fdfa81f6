-- Finds every row that is about an event, but for its raw and clean rows.
-- Grain: one row per row found.
-- Reads: ops.dedup, ops.duplicates, ops.dead_letters, ops.discarded, ops.rejected.   Writes: nothing.
select 'remembered' as what, source, received_at, null::bigint as load_id, '' as detail
from ops.dedup where event_id = %(event_id)s
union
select 'remembered', source, first_received_at, null, ''
from ops.duplicates where event_id = %(event_id)s
union all
select 'duplicate', source, received_at, load_id, 'of the arrival at ' || first_received_at
from ops.duplicates where event_id = %(event_id)s
union all
select 'dead_lettered', source, received_at, load_id, 'dead letter ' || dead_letter_id || ': ' || reason
from ops.dead_letters where event_id = %(event_id)s
union all
select 'discarded', source, received_at, load_id, 'it was dead letter ' || dead_letter_id || ': ' || reason
from ops.discarded where event_id = %(event_id)s
union all
select 'rejected', source, received_at, load_id, code || ': ' || field
from ops.rejected where event_id = %(event_id)s
