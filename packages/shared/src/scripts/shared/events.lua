-- A run's events, and who is told that there are new ones.

-- Streams are cut from the front past this many bytes; readers then get a gap.
local STREAM_BYTES = 16 * 1024 * 1024
local EVENT_OVERHEAD_BYTES = 64

local function append_event(run_id, token, name, data)
  local run, events = key.run(run_id), key.events(run_id)
  local seq = redis.call('HINCRBY', run, 'seq', 1)
  redis.call('XADD', events, seq .. '-0', 'n', name, 'd', data, 'k', int(token))
  local bytes = redis.call('HINCRBY', run, 'bytes', #data + EVENT_OVERHEAD_BYTES)
  while bytes > STREAM_BYTES do
    local oldest = redis.call('XRANGE', events, '-', '+', 'COUNT', 1)[1]
    if not oldest or oldest[1] == seq .. '-0' then break end
    redis.call('XDEL', events, oldest[1])
    bytes = redis.call('HINCRBY', run, 'bytes', -(#oldest[2][4] + EVENT_OVERHEAD_BYTES))
  end
  return seq
end

-- Only the number goes out, with a mark on the last: Redis cuts off subscribers that fall 32 MB behind.
local function call_out(run_id, seq, ended)
  redis.call('PUBLISH', prefix .. ':events:' .. run_id, seq .. (ended and '!' or ''))
end

-- Wakes who watches a chain by its newest run: what that run asked is open no more, or again. There is no event of it.
local function call_answered(run_id)
  redis.call('PUBLISH', prefix .. ':events:' .. run_id, '')
end

-- Wakes who watches a thread: it stands otherwise than before.
local function call_thread(thread_key)
  redis.call('PUBLISH', prefix .. ':threads:' .. thread_key, '')
end
