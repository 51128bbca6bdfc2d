-- The chains of a tenant.

local function forget_chain(chain_id, tenant)
  redis.call('UNLINK', key.chain(chain_id))
  redis.call('ZREM', key.tenantChains(tenant), chain_id)
end

-- The list of a tenant's chains is kept at least as long as the last of its threads: `ttl` ms from now; 0 keeps. A little longer,
-- so that it need not be told each time. `chain_id`: what is new in it.
local function keep_chains(tenant, ttl, chain_id)
  local chains = key.tenantChains(tenant)
  local left = redis.call('PTTL', chains)
  if chain_id then redis.call('ZADD', chains, int(NOW_US), chain_id) end
  if ttl <= 0 then
    redis.call('PERSIST', chains)
  elseif left == -2 or (left >= 0 and left < ttl) then
    redis.call('PEXPIRE', chains, int(ttl * 1.1))
  end
end

-- What has expired leaves the list: some in a row, of those that are old enough. From a place by chance, since one that waits for a
-- month would keep all that is behind it.
local TIDIED = 16
local function tidy_chains(tenant, retention)
  if retention <= 0 then return end
  local chains = key.tenantChains(tenant)
  local old = redis.call('ZCOUNT', chains, '-inf', int(NOW_US - retention * 1000))
  if old == 0 then return end
  local from = math.floor(NOW_US / 8) % math.max(old - TIDIED + 1, 1)
  for _, id in ipairs(redis.call('ZRANGE', chains, from, math.min(from + TIDIED, old) - 1)) do
    if redis.call('EXISTS', key.chain(id)) == 0 then redis.call('ZREM', chains, id) end
  end
end
