-- ARGV: run, action.
local result = cancel_run(ARGV[1], ARGV[2])
return { result[1], result[2] or {}, result[3] or '' }
