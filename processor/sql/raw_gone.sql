-- The days of a range whose rows of raw.events are past their retention; a closed day needs them no more in any case.
-- Grain: one row per Korean day.
-- Reads: ops.dropped_partitions, pg_class.   Writes: nothing.
select day from ops.dropped_partitions
where parent = 'raw.events'
    and day between ops.day_of(%(from)s) and ops.day_of(%(until)s::timestamptz - interval '1 microsecond')
union
select day from unnest(%(closed)s::date[]) as day
where to_regclass('raw.events_' || to_char(day, 'YYYYMMDD')) is null
order by day
