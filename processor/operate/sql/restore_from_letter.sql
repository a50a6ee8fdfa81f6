-- Brings back, for this transaction, the raw row that a dead letter of the processor holds.
-- Grain: one row.
-- Reads: ops.dead_letters.   Writes: raw.events.
insert into raw.events
select r.* from ops.dead_letters d cross join jsonb_populate_record(null::raw.events, d.body::jsonb) r
where d.dead_letter_id = %(dead_letter_id)s
