-- The chains of a tenant.

local function forget_chain(chain_id, tenant)
  redis.call('UNLINK', key.chain(chain_id))
  redis.call('ZREM', key.tenantChains(tenant), chain_id)
end

local function unlist_expired(chain_id, tenant)
  if redis.call('EXISTS', key.chain(chain_id)) == 0 then redis.call('ZREM', key.tenantChains(tenant), chain_id) end
end

-- The list of a tenant's chains is kept a week longer than a thread that is not used again, `ttl` ms; 0 keeps. So a run may wait or work
-- for a week and be listed. Told of once a day.
-- `chain_id`: what is new in the list.
local DAY_MS = 24 * 3600 * 1000
local function keep_chains(tenant, ttl, chain_id)
  local chains = key.tenantChains(tenant)
  local left = redis.call('PTTL', chains)
  if chain_id then redis.call('ZADD', chains, int(NOW_US), chain_id) end
  if ttl <= 0 then
    redis.call('PERSIST', chains)
  elseif left == -2 or (left >= 0 and left < ttl + 6 * DAY_MS) then
    redis.call('PEXPIRE', chains, int(ttl + 7 * DAY_MS))
  end
end

-- What has expired leaves the list: some in a row, of those that are old enough. From a place by chance, since one that waits for a
-- month would keep all that is behind it.
local TIDIED = 32
local function tidy_chains(tenant, retention)
  if retention <= 0 then return end
  local chains = key.tenantChains(tenant)
  local old = redis.call('ZCOUNT', chains, '-inf', int(NOW_US - retention * 1000))
  if old == 0 then return end
  local from = math.floor(NOW_US / 8) % math.max(old - TIDIED + 1, 1)
  for _, id in ipairs(redis.call('ZRANGE', chains, from, math.min(from + TIDIED, old) - 1)) do unlist_expired(id, tenant) end
end
