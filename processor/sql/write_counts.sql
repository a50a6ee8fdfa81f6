-- Writes what the run counted into the books.
-- Grain: one row per minute, source, event type and outcome.
-- Reads: batch_counts.   Writes: ops.audit.
-- Safe to repeat: yes; the claim of the load comes first in the same transaction, and a second run stops there.
insert into ops.audit (stage, run_id, minute, source, event_type, outcome, events, hash_sum)
select stage, run_id, minute, source, event_type, outcome, events, hash_sum from batch_counts
