-- Keeps leases of this partition. ARGV: lease ms, then run, token, nonce, ordinal of the last event, milliseconds used and
-- step of the base, of each.
-- A holder whose deadline passed while nobody else came may go on: that is how work outlives an outage of Redis.

local lease_ms, results = tonumber(ARGV[1]), {}
for i = 2, #ARGV, 6 do
  local run_id = ARGV[i]
  if holds(run_id, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]) then
    local run = key.run(run_id)
    redis.call('HSET', key.lease(redis.call('HGET', run, 'threadKey')), 'deadline', NOW_MS + lease_ms, 'spared', '')
    redis.call('ZADD', key.leases(), NOW_MS + lease_ms, run_id)
    redis.call('HSET', run, 'status', 'running', 'usedMs', ARGV[i + 4])
    if ARGV[i + 5] ~= '' then redis.call('HSET', run, 'baseStep', ARGV[i + 5]) end
    results[#results + 1] = redis.call('HGET', run, 'cancel') and 'cancel' or 'ok'
  else
    results[#results + 1] = 'lost'
  end
end
return results
