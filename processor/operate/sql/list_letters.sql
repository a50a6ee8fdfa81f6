-- Lists dead letters, oldest first, without their contents.
-- Grain: one row per dead letter.
-- Reads: ops.dead_letters.   Writes: nothing.
select dead_letter_id, created_at, stage, reason, source, event_type, event_id, received_at, detail
from ops.dead_letters
where (%(source)s::text is null or source = %(source)s) and (%(reason)s::text is null or reason = %(reason)s)
order by dead_letter_id
limit %(limit)s
