-- Proves: flags, channels, kinds of event and of device are words of the contract.
-- Grain: one row per unknown word and column.
-- Reads: clean.events.
-- Cost: a scan of the clean rows received since.
with recent as (
    select event_type, channel, device_type, flags from clean.events where received_at >= %(since)s
), used as (
    select 'event_type' as "column", event_type as word, count(*) as events from recent group by 2
    union all
    select 'channel', channel, count(*) from recent group by 2
    union all
    select 'device_type', device_type, count(*) from recent group by 2
    union all
    select 'flags', flag, count(*) from recent cross join unnest(flags) as flag group by 2
), known ("column", word) as (
    values
        ('event_type', 'page_view'), ('event_type', 'click'), ('event_type', 'checkbox'), ('event_type', 'popup'),
        ('event_type', 'tab'), ('event_type', 'step'), ('event_type', 'search'), ('event_type', 'login'),
        ('event_type', 'logout'), ('event_type', 'error'), ('event_type', 'exit'), ('event_type', 'custom'),
        ('channel', 'direct'), ('channel', 'organic_search'), ('channel', 'paid_search'), ('channel', 'social'),
        ('channel', 'email'), ('channel', 'push'), ('channel', 'referral'), ('channel', 'paid_other'),
        ('channel', 'internal'), ('channel', 'app'),
        ('device_type', 'desktop'), ('device_type', 'mobile'), ('device_type', 'tablet'), ('device_type', 'bot'),
        ('device_type', 'other'),
        ('flags', 'late'), ('flags', 'future'), ('flags', 'clock_corrected'), ('flags', 'clock_wrong'),
        ('flags', 'erased'), ('flags', 'masked'), ('flags', 'truncated'), ('flags', 'sanitised'), ('flags', 'session_derived')
)
select "column", word, events from used
where not exists (select from known where known."column" = used."column" and known.word = used.word)
