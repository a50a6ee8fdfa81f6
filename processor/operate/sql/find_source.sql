-- Collects all that a source sent before a moment.
-- Grain: one row per event.
-- Reads: clean.events, ops.duplicates, ops.dead_letters.   Writes: leaving.
insert into leaving (source, event_id)
select source, event_id from clean.events where source = %(source)s and received_at < %(until)s
union
select source, event_id from ops.duplicates where source = %(source)s and received_at < %(until)s
union
select source, event_id from ops.dead_letters
where source = %(source)s and received_at < %(until)s and event_id is not null
on conflict do nothing
