-- What failed for no reason of its own.

-- Why runs fail through no fault of their own (see dead-letters.ts), and how many a list of them keeps.
local DEAD = { crash_budget = true, graph_changed = true }
local DEAD_MOST = 1000

-- `fields`: what the end writes, names and values. A list lives as long as the run that entered it last.
local function bury(run_id, tenant, fields)
  local err
  for i = 1, #fields, 2 do if fields[i] == 'error' then err = cjson.decode(fields[i + 1]) end end
  local kind, retention = unpack(redis.call('HMGET', key.run(run_id), 'kind', 'retention'))
  if not err or not DEAD[err.code] or kind ~= 'graph' then return end
  for _, list in ipairs({ key.dead(), key.tenantDead(tenant) }) do
    redis.call('ZADD', list, NOW_MS, run_id)
    redis.call('ZREMRANGEBYRANK', list, 0, -DEAD_MOST - 1)
    if tonumber(retention or '0') > 0 then redis.call('PEXPIRE', list, retention) else redis.call('PERSIST', list) end
  end
end

-- Takes a run off the lists of those that may be run again.
local function unbury(run_id, tenant)
  redis.call('ZREM', key.dead(), run_id)
  redis.call('ZREM', key.tenantDead(tenant), run_id)
end
