-- Proves: a device is one customer's at a time.
-- Needs: clean.identities
-- Grain: one row per two stretches of time that overlap.
-- Reads: clean.identities.
-- Cost: the identities known since, joined with themselves by device.
select a.source, a.anonymous_id, a.valid, b.valid as other_valid, a.customer_id = b.customer_id as is_same_customer
from clean.identities a
join clean.identities b on b.source = a.source and b.anonymous_id = a.anonymous_id and b.ctid > a.ctid and b.valid && a.valid
where greatest(a.known_from, b.known_from) >= %(since)s
