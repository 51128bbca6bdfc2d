-- What has not ended, and how fast it does.

-- The runs that have not ended, scored with the bytes of their requests: what the caps are held against. A set counts
-- a script that is sent again once, which no counter would; the sum of the bytes moves only with the set.
local function open_run(run_id, tenant, bytes)
  if redis.call('ZADD', key.open(), bytes, run_id) == 1 then redis.call('INCRBY', key.openBytes(), bytes) end
  redis.call('ZADD', key.tenantOpen(tenant), bytes, run_id)
end

-- Ends are counted in windows of this length: how fast room comes free.
local PACE_MS = 10000
local PACE_WINDOW = math.floor(NOW_MS / PACE_MS)

local function close_run(run_id, tenant)
  redis.call('ZREM', key.tenantOpen(tenant), run_id)
  local bytes = redis.call('ZSCORE', key.open(), run_id)
  if redis.call('ZREM', key.open(), run_id) == 0 then return end
  if redis.call('DECRBY', key.openBytes(), bytes) <= 0 then redis.call('DEL', key.openBytes()) end
  redis.call('INCR', key.ended(PACE_WINDOW))
  redis.call('PEXPIRE', key.ended(PACE_WINDOW), 3 * PACE_MS)
end
