-- ARGV: the writer's four (see guard.lua), run, budget. Reply: 1 while there is more to do, 0 when done, -1 when it was
-- another run (or none) that wrote last.
local refused = refusal(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
if refused then return refused end
local budget = tonumber(ARGV[6])
local known = redis.call('HMGET', key_journal(), 'run', 'seq')
if known[1] ~= ARGV[5] then return -1 end
local seq = tonumber(known[2])
-- The journal goes with the rest, in the last step.
if seq == 0 then return remove_thread(budget) end

-- First of all: for readers the run is gone with the first step.
local journal = redis.call('HGETALL', key_journal())
for i = 1, #journal, 2 do
  local name, before = journal[i], journal[i + 1]
  local head = string.match(name, '^h (.*)$')
  if head then redis.call('HSET', key_heads(), head, before) end
  local ns, id, field = string.match(name, '^w (%S*) (%S+) (.*)$')
  if ns and before == '0' then
    redis.call('HDEL', key_writes(ns, id), field)
  elseif ns then
    redis.call('HSET', key_writes(ns, id), field, string.sub(before, 2))
  end
end

local function shrink(ns)
  local index = key_index(ns)
  for _, zset in ipairs({ index, key_ancestors(ns) }) do
    local ids = redis.call('ZREVRANGEBYSCORE', zset, '+inf', '(' .. seq, 'LIMIT', 0, budget)
    for _, id in ipairs(ids) do remove_checkpoint(ns, id) end
    budget = budget - #ids
    if budget <= 0 then return end
  end
  local newest = redis.call('ZREVRANGE', index, 0, 0, 'WITHSCORES')
  if newest[1] then
    redis.call('ZADD', key_namespaces(), newest[2], ns)
    budget = budget - 1
  else
    budget = remove_namespace(ns, budget)
  end
end

while budget > 0 do
  local ns = redis.call('ZRANGEBYSCORE', key_namespaces(), '(' .. seq, '+inf', 'LIMIT', 0, 1)[1]
  if not ns then break end
  shrink(ns)
end
-- What waits for its checkpoint waits in vain: only the caller may write now.
while budget > 0 do
  local member = redis.call('ZRANGEBYSCORE', key_early(), seq, '+inf', 'LIMIT', 0, 1)[1]
  if not member then break end
  remove_early(member)
  budget = budget - 1
end
budget = remove_doomed(budget)
if budget <= 0 then return 1 end
redis.call('UNLINK', key_journal())
return 0
