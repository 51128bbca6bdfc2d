-- ARGV: thread key, metadata (JSON text). Returns 1, or 0 when there is no such thread (any more).
local thread = key.thread(ARGV[1])
if redis.call('EXISTS', thread) == 0 then return 0 end
redis.call('HSET', thread, 'metadata', ARGV[2])
return 1
