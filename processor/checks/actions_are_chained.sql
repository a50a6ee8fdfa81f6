-- Proves: nobody has changed, removed or added an operator's action behind the chain's back.
-- Grain: one row per action whose hash does not follow from it and the one before, or whose number does.
-- Reads: ops.actions.
-- Cost: one pass over all actions ever: thousands.
select link, action_id
from (
    select
        a.link, a.action_id, a.chain,
        a.link is distinct from row_number() over w as is_misplaced,
        ops.action_hash(coalesce(lag(a.chain) over w, ''), a) as should_be
    from ops.actions a
    window w as (order by a.link)
) linked
where is_misplaced or chain is distinct from should_be
order by link
