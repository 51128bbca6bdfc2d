-- Removing checkpoints. The callers bound how many go in one script.

local EARLY_LIMIT = 1024

local function each_reference(packed, visit)
  if not packed then return end
  for _, field in ipairs(cmsgpack.unpack(packed)) do visit(field) end
end

-- A blob goes with the last checkpoint that holds it: counting is exact where looking at the neighbours in
-- insertion order is not, because a fork may share versions with checkpoints far away.
local function release_blobs(ns, packed)
  each_reference(packed, function(field)
    if redis.call('HINCRBY', key_references(ns), field, -1) <= 0 then
      redis.call('HDEL', key_references(ns), field)
      redis.call('HDEL', key_blobs(ns), field)
    end
  end)
end

-- The sub-graphs of a root checkpoint's tasks cannot be reached without it.
local function doom_owned(ns, id)
  if ns == '' and redis.call('EXISTS', key_owned(id)) == 1 then redis.call('SADD', key_doomed(), id) end
end

local function remove_checkpoint(ns, id)
  release_blobs(ns, redis.call('HGET', key_checkpoint(ns, id), 'f'))
  redis.call('UNLINK', key_checkpoint(ns, id), key_writes(ns, id))
  redis.call('ZREM', key_index(ns), id)
  redis.call('ZREM', key_ancestors(ns), id)
  redis.call('ZREM', key_floors(ns), id)
  if ns == '' then redis.call('SREM', key_pins(), id) end
  doom_owned(ns, id)
end

-- Removes up to `budget` checkpoints of a namespace without counting blobs, since all of them go. Returns what
-- is left of the budget; above 0 means that the namespace is gone.
local function remove_namespace(ns, budget)
  redis.call('HDEL', key_heads(), ns)
  for _, zset in ipairs({ key_index(ns), key_ancestors(ns) }) do
    while budget > 0 do
      local ids = redis.call('ZRANGE', zset, 0, budget - 1)
      if #ids == 0 then break end
      for _, id in ipairs(ids) do
        redis.call('UNLINK', key_checkpoint(ns, id), key_writes(ns, id))
        doom_owned(ns, id)
      end
      redis.call('ZREM', zset, unpack(ids))
      budget = budget - #ids
    end
  end
  if budget > 0 then
    redis.call('UNLINK', key_blobs(ns), key_references(ns), key_index(ns), key_ancestors(ns), key_floors(ns))
    redis.call('ZREM', key_namespaces(), ns)
    redis.call('HDEL', key_owners(), ns)
    redis.call('HDEL', key_record(), 'cursor:' .. ns)
    budget = budget - 1
  end
  return budget
end

-- Continues with the sub-graphs of root checkpoints that are gone.
local function remove_doomed(budget)
  while budget > 0 do
    local owner = redis.call('SRANDMEMBER', key_doomed())
    if not owner then break end
    local ns = redis.call('SRANDMEMBER', key_owned(owner))
    if not ns then
      redis.call('SREM', key_doomed(), owner)
      budget = budget - 1
    elseif redis.call('HGET', key_owners(), ns) ~= owner then
      redis.call('SREM', key_owned(owner), ns)
      budget = budget - 1
    else
      budget = remove_namespace(ns, budget)
      if redis.call('ZSCORE', key_namespaces(), ns) == false then redis.call('SREM', key_owned(owner), ns) end
    end
  end
  return budget
end

local function early_member(ns, id) return ns .. ' ' .. id end

local function remove_early(member)
  local ns, id = string.match(member, '^(%S*) (.*)$')
  redis.call('ZREM', key_early(), member)
  if redis.call('EXISTS', key_checkpoint(ns, id)) == 1 then return end
  redis.call('UNLINK', key_writes(ns, id))
  doom_owned(ns, id)
end

-- Writes and sub-graphs may arrive before their checkpoint. Most get it a moment later; those that never do must
-- be found again.
local function note_early(ns, id)
  if redis.call('EXISTS', key_checkpoint(ns, id)) == 1 then return end
  local seq = redis.call('HGET', key_record(), 'seq') or '0'
  redis.call('ZADD', key_early(), 'NX', seq, early_member(ns, id))
  if redis.call('ZCARD', key_early()) > EARLY_LIMIT then
    remove_early(redis.call('ZRANGE', key_early(), 0, 0)[1])
  end
end

-- One step of removing the whole thread except its fence. Returns 1 while there is more to do.
local function remove_thread(budget)
  -- Heads first: for readers the thread is gone with the first step.
  redis.call('UNLINK', key_heads(), key_pins())
  while budget > 0 do
    local ns = redis.call('ZRANGE', key_namespaces(), 0, 0)[1]
    if not ns then break end
    budget = remove_namespace(ns, budget)
  end
  while budget > 0 do
    local member = redis.call('ZRANGE', key_early(), 0, 0)[1]
    if not member then break end
    remove_early(member)
    budget = budget - 1
  end
  while budget > 0 do
    local owner = redis.call('SPOP', key_doomed())
    if not owner then break end
    redis.call('UNLINK', key_owned(owner))
    budget = budget - 1
  end
  if budget <= 0 then return 1 end
  redis.call('UNLINK', key_record(), key_namespaces(), key_owners(), key_early(), key_doomed(), key_journal())
  return 0
end
