-- ARGV: the writer's four (see guard.lua), run or '', ns, id, parent id, checkpoint, metadata, format, keep, owner,
--       authoritative, number of fields, fields..., number of blobs, (field, value)..., number of delta channels,
--       channels...
-- Reply: insertion number.
local refused = refusal(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
if refused then return refused end
local run, ns, id, parent = ARGV[5], ARGV[6], ARGV[7], ARGV[8]

-- What one call may remove. More than one, so that a backlog shrinks.
local PRUNE_BUDGET = 4

local keep, owner, authoritative = tonumber(ARGV[12]), ARGV[13], ARGV[14] == '1'
local at = 15
local function next_arg()
  at = at + 1
  return ARGV[at - 1]
end

open_journal(run)
journal_head(ns)
local checkpoint = key_checkpoint(ns, id)
local before = redis.call('HMGET', checkpoint, 'q', 'f')
local seq = before[1]
if not seq then seq = tostring(redis.call('HINCRBY', key_record(), 'seq', 1)) end

local fields = {}
for _ = 1, tonumber(next_arg()) do fields[#fields + 1] = next_arg() end
for _ = 1, tonumber(next_arg()) do redis.call('HSET', key_blobs(ns), next_arg(), next_arg()) end
-- Count up before down, so that a repeated put leaves every count as it was and drops nothing.
for _, field in ipairs(fields) do redis.call('HINCRBY', key_references(ns), field, 1) end
release_blobs(ns, before[2])

redis.call('HSET', checkpoint, 'r', '1', 'q', seq, 'p', parent, 'c', ARGV[9], 'm', ARGV[10], 'v', ARGV[11],
  'f', cmsgpack.pack(fields))
redis.call('ZADD', key_index(ns), seq, id)
redis.call('ZREM', key_ancestors(ns), id)
redis.call('ZREM', key_early(), early_member(ns, id))
redis.call('ZADD', key_namespaces(), 'GT', seq, ns)
redis.call('HSET', key_record(), 'v', '1', 't', now_ms())

-- A checkpoint that arrives after its own child must not take the head from it.
local head = redis.call('HGET', key_heads(), ns)
if not head or head == id or redis.call('HGET', key_checkpoint(ns, head), 'p') ~= id then
  redis.call('HSET', key_heads(), ns, id)
end

if owner ~= '' then
  if owner == '*' then owner = redis.call('HGET', key_heads(), '') or '' end
  if owner ~= '' then
    redis.call('HSET', key_owners(), ns, owner)
    redis.call('SADD', key_owned(owner), ns)
    note_early('', owner)
  end
end

-- Delta channels: which ancestor holds the value that this checkpoint's writes are replayed on?
local function channels_of(list)
  local by_channel = {}
  for _, field in ipairs(list) do
    local channel = string.match(field, '^(.*)%z')
    if channel then by_channel[channel] = field end
  end
  return by_channel
end

local function note_seeds()
  local wanted, any = {}, false
  for _ = 1, tonumber(next_arg()) do
    wanted[next_arg()] = true
    any = true
  end
  local above = parent ~= '' and redis.call('HMGET', key_checkpoint(ns, parent), 's', 'f', 'q', 'p') or {}
  local inherited = above[1] and cmsgpack.unpack(above[1]) or {}
  if not any and not above[1] then return end

  local here = channels_of(fields)
  local there = above[2] and channels_of(cmsgpack.unpack(above[2])) or {}
  local function stored(map, channel)
    return map[channel] ~= nil and redis.call('HEXISTS', key_blobs(ns), map[channel]) == 1
  end
  for channel in pairs(inherited) do
    -- A step of the graph counts all its delta channels, or stores their value; other checkpoints may not.
    if not authoritative or stored(here, channel) then wanted[channel] = true end
  end

  local number, seeds, floor = tonumber(seq), {}, tonumber(seq)
  for channel in pairs(wanted) do
    local seed
    if parent == '' or stored(here, channel) then
      seed = number
    elseif inherited[channel] then
      seed = inherited[channel]
    elseif above[3] and (above[4] == '' or stored(there, channel)) then
      seed = tonumber(above[3])
    else
      -- Not known, so keep everything until the channel's next stored value.
      seed = 0
    end
    seeds[channel] = seed
    floor = math.min(floor, seed)
  end
  if next(seeds) then redis.call('HSET', checkpoint, 's', cmsgpack.pack(seeds)) end
  if floor < number then redis.call('ZADD', key_floors(ns), floor, id) end
end

-- Removes what is out of the window, unless a delta channel of a kept checkpoint is replayed from it: then it
-- leaves the index and waits. What is pinned would block a scan from the front, hence the cursor.
local function prune()
  local index, cursor_field = key_index(ns), 'cursor:' .. ns
  local zone = redis.call('ZCARD', index) - keep
  local function lowest_floor()
    return tonumber(redis.call('ZRANGE', key_floors(ns), 0, 0, 'WITHSCORES')[2] or 'inf')
  end
  if zone > 0 then
    local edge = redis.call('ZRANGE', index, zone, zone, 'WITHSCORES')[2]
    local cursor = redis.call('HGET', key_record(), cursor_field) or '0'
    local aged = redis.call('ZRANGEBYSCORE', index, '(' .. cursor, '(' .. edge, 'WITHSCORES', 'LIMIT', 0, PRUNE_BUDGET)
    for i = 1, #aged, 2 do
      local old = aged[i]
      local pinned = ns == '' and redis.call('SISMEMBER', key_pins(), old) == 1
      local needed = pinned or is_journaled_head(ns, old) or old == redis.call('HGET', key_heads(), ns)
      if not needed then
        redis.call('ZREM', key_floors(ns), old)
        if tonumber(aged[i + 1]) >= lowest_floor() then
          redis.call('ZREM', index, old)
          redis.call('ZADD', key_ancestors(ns), aged[i + 1], old)
        else
          remove_checkpoint(ns, old)
        end
      end
    end
    if #aged == PRUNE_BUDGET * 2 then
      redis.call('HSET', key_record(), cursor_field, aged[#aged])
    else
      redis.call('HDEL', key_record(), cursor_field)
    end
  end
  local floor = lowest_floor()
  local upper = floor == math.huge and '+inf' or '(' .. floor
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', key_ancestors(ns), '-inf', upper, 'LIMIT', 0, PRUNE_BUDGET)) do
    remove_checkpoint(ns, old)
  end
end

note_seeds()
if keep > 0 then prune() end
remove_doomed(PRUNE_BUDGET)
return tonumber(seq)
