-- ARGV: the writer's four (see guard.lua), id of the root checkpoint to go back to, budget.
-- Reply: 1 while there is more to do, 0 when done, -1 when there is no such checkpoint.
local refused = refusal(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
if refused then return refused end
local target, budget = ARGV[5], tonumber(ARGV[6])
local position = redis.call('ZSCORE', key_index(''), target)
if not position then return -1 end
redis.call('HSET', key_heads(), '', target)

local function first_after(zset)
  return tonumber(redis.call('ZRANGEBYSCORE', zset, '(' .. position, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2] or 'inf')
end
local boundary = math.min(first_after(key_index('')), first_after(key_ancestors('')))

local function finish()
  remove_doomed(budget)
  return redis.call('EXISTS', key_doomed())
end
if boundary == math.huge then return finish() end

-- Sub-graphs before the root: when this is interrupted, the root still tells where the boundary is.
local function other_namespace()
  local names = redis.call('ZRANGEBYSCORE', key_namespaces(), boundary, '+inf', 'LIMIT', 0, 2)
  if names[1] == '' then return names[2] end
  return names[1]
end

-- A sub-graph that lives as long as the thread goes back with it.
local function rewind(ns)
  local index = key_index(ns)
  for _, zset in ipairs({ index, key_ancestors(ns) }) do
    local ids = redis.call('ZREVRANGEBYSCORE', zset, '+inf', boundary, 'LIMIT', 0, budget)
    for _, id in ipairs(ids) do remove_checkpoint(ns, id) end
    budget = budget - #ids
    if budget <= 0 then return end
  end
  local newest = redis.call('ZREVRANGE', index, 0, 0, 'WITHSCORES')
  if newest[1] then
    redis.call('HSET', key_heads(), ns, newest[1])
    redis.call('ZADD', key_namespaces(), newest[2], ns)
    budget = budget - 1
  else
    budget = remove_namespace(ns, budget)
  end
end

while budget > 0 do
  local ns = other_namespace()
  if not ns then break end
  if redis.call('HEXISTS', key_owners(), ns) == 1 then
    budget = remove_namespace(ns, budget)
  else
    rewind(ns)
  end
end
if budget <= 0 then return 1 end

for _, zset in ipairs({ key_index(''), key_ancestors('') }) do
  if budget > 0 then
    local ids = redis.call('ZREVRANGEBYSCORE', zset, '+inf', '(' .. position, 'LIMIT', 0, budget)
    for _, id in ipairs(ids) do remove_checkpoint('', id) end
    budget = budget - #ids
  end
end
if budget <= 0 then return 1 end
redis.call('ZADD', key_namespaces(), position, '')
return finish()
