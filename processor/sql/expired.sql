-- Lists what is past its time: partitions by their day, details by the day they were received on.
-- Grain: one row per table and day.
-- Reads: pg_inherits, ops.watermark, ops.rejected, ops.duplicates.   Writes: nothing.
with kept as (
    select *
    from (values
        ('raw.events', ops.day_of(now()) - %(raw_days)s::int),
        ('clean.events', (ops.day_of(now()) - make_interval(months => %(clean_months)s::int))::date),
        ('clean.page_views', (ops.day_of(now()) - make_interval(months => %(clean_months)s::int))::date),
        -- A second arrival on the last day of the window may still wait somewhere: the watermark has to be past it.
        ('ops.dedup', (select ops.day_of(finished_until) from ops.watermark) - %(dedup_days)s::int)
    ) as first (parent, first_day)
), partitions as (
    select k.parent, to_date(right(c.relname, 8), 'YYYYMMDD') as day, k.first_day
    from kept k
    join pg_inherits i on i.inhparent = k.parent::regclass
    join pg_class c on c.oid = i.inhrelid
    where c.relname ~ '_\d{8}$'
), details as (
    select 'ops.rejected' as parent, ops.day_of(min(received_at)) as day from ops.rejected
    union all
    select 'ops.duplicates', ops.day_of(min(received_at)) from ops.duplicates
)
select parent, day from partitions where day < first_day
union all
select parent, generate_series(
    day, ops.day_of(now()) - make_interval(months => %(detail_months)s::int) - interval '1 day', '1 day')::date
from details
order by day, parent
