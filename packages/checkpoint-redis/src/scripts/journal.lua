-- What the newest run found and has changed: the insertion number before its first write, the heads it moved and the
-- writes it replaced. That is all it takes to take the run back; another run's first write begins the journal anew.

local journal_seq

local function open_journal(run)
  local known = redis.call('HMGET', key_journal(), 'run', 'seq')
  if known[1] and known[1] == run then
    journal_seq = tonumber(known[2])
    return
  end
  if known[1] then redis.call('UNLINK', key_journal()) end
  if run == '' then return end
  local seq = redis.call('HGET', key_record(), 'seq') or '0'
  redis.call('HSET', key_journal(), 'run', run, 'seq', seq)
  journal_seq = tonumber(seq)
end

-- A namespace without a head is all the run's own.
local function journal_head(ns)
  local head = journal_seq and redis.call('HGET', key_heads(), ns)
  if not head then return end
  local seq = redis.call('HGET', key_checkpoint(ns, head), 'q')
  if seq and tonumber(seq) <= journal_seq then redis.call('HSETNX', key_journal(), 'h ' .. ns, head) end
end

-- What a run writes to its own checkpoints goes with them.
local function journal_write(ns, id, field)
  if not journal_seq then return end
  local seq = tonumber(redis.call('HGET', key_checkpoint(ns, id), 'q') or 'inf')
  if seq > journal_seq then return end
  local before = redis.call('HGET', key_writes(ns, id), field)
  redis.call('HSETNX', key_journal(), 'w ' .. ns .. ' ' .. id .. ' ' .. field, before and '1' .. before or '0')
end

-- Where the thread stood before the newest run: to be kept as long as that run can be taken back.
local function is_journaled_head(ns, id)
  return journal_seq and redis.call('HGET', key_journal(), 'h ' .. ns) == id
end
