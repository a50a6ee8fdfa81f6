-- Says whether anything of a source came with a write key that is no test's.
-- Grain: one row.
-- Reads: clean.events, raw.events, ops.rejected, ops.dead_letters.   Writes: nothing.
select exists (select from clean.events where source = %(source)s and not is_test)
    or exists (select from raw.events where source = %(source)s and not is_test)
    or exists (select from ops.rejected where source = %(source)s and not is_test)
    or exists (
        select from ops.dead_letters d
        where d.source = %(source)s and d.stage = 'process' and not (d.body::jsonb ->> 'is_test')::boolean)
