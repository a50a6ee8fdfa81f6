-- The last good version of a file.
-- Grain: one row, or none.
-- Reads: ops.rule_files.   Writes: nothing.
select content, sha256, loaded_at from ops.rule_files where name = %(name)s
