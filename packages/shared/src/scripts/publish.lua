-- Publishes what a worker serves; `root` is the catalog. ARGV: names of the keys of first times and of serving times,
-- ms that this counts for, then graph, revision and entry (JSON text) of each.
-- Of the revisions that are served, the one that came last is shown: a worker of an older one that starts anew while a
-- release is under way does not bring the older one back. When no newer one is served any more, it does.

local since, served, served_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

-- Longer than a release takes to roll out: a revision that is forgotten would be new if it came again.
local FORGET_MS = 7 * 24 * 3600 * 1000
for _, name in ipairs(redis.call('ZRANGEBYSCORE', served, '-inf', NOW_MS - FORGET_MS)) do
  redis.call('HDEL', since, name)
  redis.call('ZREM', served, name)
end

local function came(name) return tonumber(redis.call('HGET', since, name) or '0') end

for i = 4, #ARGV, 3 do
  local graph, name = ARGV[i], ARGV[i] .. '@' .. ARGV[i + 1]
  redis.call('HSETNX', since, name, int(NOW_US))
  redis.call('ZADD', served, NOW_MS + served_ms, name)
  local newest = true
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', served, NOW_MS, '+inf')) do
    if string.sub(other, 1, #graph + 1) == graph .. '@' and came(other) > came(name) then newest = false end
  end
  if newest then
    local times = string.format('"since":%s,"publishedAt":%s', int(math.floor(came(name) / 1000)), int(NOW_MS))
    redis.call('HSET', root, graph, string.sub(ARGV[i + 2], 1, -2) .. ',' .. times .. '}')
  end
end
return 1
