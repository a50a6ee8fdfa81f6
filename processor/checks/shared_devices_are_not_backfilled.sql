-- Proves: a device of several customers is marked as shared and given to none of them from before they were known.
-- Needs: clean.identities
-- Grain: one row per stretch of time that says something else.
-- Reads: clean.identities.
-- Cost: a scan of the identities, grouped by device.
select i.source, i.anonymous_id, i.valid, i.known_from, i.is_shared, i.is_backfilled, d.customers
from clean.identities i
join (
    select source, anonymous_id, count(distinct customer_id) as customers from clean.identities group by 1, 2
) d on d.source = i.source and d.anonymous_id = i.anonymous_id
where i.known_from >= %(since)s
    -- Of two customers one may have had the device for no time at all.
    and (
        (d.customers > 1 and not i.is_shared) or (i.is_shared and i.is_backfilled)
        or (lower(i.valid) < i.known_from) <> i.is_backfilled or not i.valid @> i.known_from
    )
