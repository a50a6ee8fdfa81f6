-- Says who did what, and why.
-- Grain: one row per action.
-- Reads: nothing.   Writes: ops.actions.
-- Safe to repeat: no; it is the last statement of the action's transaction.
insert into ops.actions (action_id, operator, command, arguments, reason, result)
values (%(action_id)s, %(operator)s, %(command)s, %(arguments)s, %(reason)s, %(result)s)
