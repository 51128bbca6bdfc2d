-- ARGV: run, action, an id for the turn that a rollback takes.
local result = cancel_run(ARGV[1], ARGV[2], ARGV[3])
return { result[1], result[2] or {}, result[3] or '', result[4] or '' }
