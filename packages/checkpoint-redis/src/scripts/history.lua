-- ARGV: ns, checkpoint id or '' for the head, '1' to begin with its parent, how many ancestors at most,
--       (channel, how a stored write to it starts)...
-- Reply: {id to go on with or '', {channels, blobs, writes} of each ancestor, nearest first}.
local ns, id = ARGV[1], ARGV[2]
if id == '' then id = redis.call('HGET', key_heads(), ns) or '' end
if ARGV[3] == '1' and id ~= '' then id = redis.call('HGET', key_checkpoint(ns, id), 'p') or '' end
local starts = {}
for i = 5, #ARGV, 2 do starts[ARGV[i]] = ARGV[i + 1] end

local ancestors = {}
while id ~= '' and #ancestors < tonumber(ARGV[4]) and next(starts) do
  local row = redis.call('HMGET', key_checkpoint(ns, id), 'f', 'p')
  if not row[1] then
    id = ''
    break
  end
  local writes, stored = {}, redis.call('HGETALL', key_writes(ns, id))
  for i = 1, #stored, 2 do
    for _, start in pairs(starts) do
      if string.sub(stored[i + 1], 1, #start) == start then
        writes[#writes + 1] = stored[i]
        writes[#writes + 1] = stored[i + 1]
      end
    end
  end
  local channels, blobs = {}, {}
  for _, field in ipairs(cmsgpack.unpack(row[1])) do
    local channel = string.match(field, '^(.*)%z')
    if channel and starts[channel] then
      local blob = redis.call('HGET', key_blobs(ns), field)
      if blob then
        channels[#channels + 1] = channel
        blobs[#blobs + 1] = blob
        starts[channel] = nil
      end
    end
  end
  ancestors[#ancestors + 1] = { channels, blobs, writes }
  id = row[2]
end
if not next(starts) then id = '' end
return { id, ancestors }
