-- Removes what no longer holds of the touched devices; the exclusion constraint wants it gone before what holds is written.
-- Grain: one row per device and stretch of time.
-- Reads: batch_devices, batch_identities, clean.identities.   Writes: clean.identities.
-- Safe to repeat: yes; a row that still holds stays as it is.
delete from clean.identities i
using batch_devices d
cross join lateral (
    select o.ctid as tid from clean.identities o
    where o.source = d.source and o.anonymous_id = d.anonymous_id
    offset 0
) o
where i.ctid = o.tid and not exists (
    select from batch_identities b
    where b.source = i.source and b.anonymous_id = i.anonymous_id and row(b.*) is not distinct from row(i.*)
)
