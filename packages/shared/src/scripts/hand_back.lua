-- The holder gives an unfinished run back, unharmed: a drain, or a graph it has not got. ARGV: run, token, nonce,
-- delay ms, milliseconds used, step of the base. Not a crash.

local run_id, token, nonce, delay = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if not holds(run_id, token, nonce) then return { 'lost' } end
local run = key.run(run_id)
local thread_key, cancel = unpack(redis.call('HMGET', run, 'threadKey', 'cancel'))
if cancel then return { 'won', end_run(run_id, tonumber(token), 'cancelled', {}, '{"status":"cancelled"}') } end
redis.call('HSET', run, 'status', 'queued', 'updatedAt', NOW_MS, 'usedMs', ARGV[5])
if ARGV[6] ~= '' then redis.call('HSET', run, 'baseStep', ARGV[6]) end
redis.call('HSET', key.lease(thread_key), 'nonce', '', 'run', '', 'deadline', 0)
redis.call('ZREM', key.leases(), run_id)
if delay > 0 then
  redis.call('ZADD', key.due(), NOW_MS + delay, run_id)
  return { 'won', {} }
end
return { 'won', ready(run_id) }
