-- Keeps the latest report of an SDK instance. Reports are cumulative and may arrive in any order: the later
-- one has created more, or dropped more, or has less pending.
-- Grain: one row per source and client_id.
-- Reads, writes: ops.clients.
-- Safe to repeat: yes; an equal or earlier report changes nothing but last_seen.
insert into ops.clients as known (
    source, client_id, sdk, platform, app_version, created, pending, dropped, dropped_total, first_seen, last_seen
) values (
    %(source)s, %(client_id)s, %(sdk)s, %(platform)s, %(app_version)s, %(created)s, %(pending)s,
    %(dropped)s, %(dropped_total)s, %(seen)s, %(seen)s
)
on conflict (source, client_id) do update set
    sdk = coalesce(excluded.sdk, known.sdk),
    platform = coalesce(excluded.platform, known.platform),
    app_version = coalesce(excluded.app_version, known.app_version),
    created = greatest(known.created, excluded.created),
    pending = case
        when (excluded.created, excluded.dropped_total, -excluded.pending)
            > (known.created, known.dropped_total, -known.pending) then excluded.pending
        else known.pending
    end,
    dropped = case when excluded.dropped_total > known.dropped_total then excluded.dropped else known.dropped end,
    dropped_total = greatest(known.dropped_total, excluded.dropped_total),
    first_seen = least(known.first_seen, excluded.first_seen),
    last_seen = greatest(known.last_seen, excluded.last_seen)
