-- Removes derived sessions that lost all their events to another one.
-- Grain: one row per session.
-- Reads: batch_derived.   Writes: clean.sessions.
delete from clean.sessions s
using (
    select distinct source, old_session_id from batch_derived where old_session_id is not null
    except
    select source, session_id from batch_derived
) gone
where s.source = gone.source and s.session_id = gone.old_session_id
