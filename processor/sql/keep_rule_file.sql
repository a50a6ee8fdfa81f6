-- Keeps the last good version of a file.
-- Grain: one row per file.
-- Reads: nothing.   Writes: ops.rule_files.
-- Safe to repeat: yes; the same content keeps the time at which it was first taken.
insert into ops.rule_files as f (name, sha256, content)
values (%(name)s, %(sha256)s, %(content)s)
on conflict (name) do update set sha256 = excluded.sha256, content = excluded.content, loaded_at = now()
where f.sha256 <> excluded.sha256
