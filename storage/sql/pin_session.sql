-- Pins every setting of the session that changes what a statement means, whatever the database, its roles or the DSN say.
-- Grain: one row, the backend that answers. Reads: nothing. Writes: this session's settings, until it ends.
-- Repeatable: the same values each time. A setting that this version of PostgreSQL does not know is left out.
-- Names are qualified: the search path may be anybody's.
select pg_catalog.pg_backend_pid(), pg_catalog.count(pg_catalog.set_config(name, value, false))
from (values
    -- How times, spans and bytes are written and read.
    ('TimeZone', 'Asia/Seoul'),
    ('DateStyle', 'ISO, YMD'),
    ('IntervalStyle', 'postgres'),
    ('bytea_output', 'hex'),
    ('extra_float_digits', '1'),
    ('client_encoding', 'UTF8'),
    -- How a statement's text is read.
    ('standard_conforming_strings', 'on'),
    ('backslash_quote', 'safe_encoding'),
    ('transform_null_equals', 'off'),
    ('array_nulls', 'on'),
    ('xmloption', 'content'),
    -- Which table a name means: ours stand with their schema, only temporary ones do not.
    ('search_path', ''),
    -- What a transaction is.
    ('default_transaction_isolation', 'read committed'),
    ('default_transaction_read_only', 'off'),
    ('default_transaction_deferrable', 'off'),
    -- A commit is on disk before the loader lets go of a segment; where a standby is waited for, that stays.
    ('synchronous_commit', case pg_catalog.current_setting('synchronous_commit')
        when 'off' then 'on' else pg_catalog.current_setting('synchronous_commit') end),
    -- Meant for people who forget a query: a run of a large batch would be ended, and begun again, for ever.
    ('statement_timeout', '0'),
    ('lock_timeout', '0'),
    ('idle_in_transaction_session_timeout', '0'),
    ('transaction_timeout', '0'),
    -- A client that goes without a word is noticed within a minute, also by the server.
    ('tcp_keepalives_idle', '20'),
    ('tcp_keepalives_interval', '10'),
    ('tcp_keepalives_count', '3'),
    ('tcp_user_timeout', '60000'),
    ('client_min_messages', 'warning')
) as pinned (name, value)
where pg_catalog.current_setting(name, true) is not null
