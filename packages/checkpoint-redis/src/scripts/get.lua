-- ARGV: ns, checkpoint id or '' for the head.
-- Reply: nil, or {id, parent id, insertion number, checkpoint, metadata, description, fields, blobs, writes,
--        writes of the parent (only for checkpoints of a format before 4)}.
local later = later_format()
if later then return later end
local ns, id = ARGV[1], ARGV[2]
if id == '' then
  id = redis.call('HGET', key_heads(), ns)
  if not id then return false end
end
local row = redis.call('HMGET', key_checkpoint(ns, id), 'p', 'q', 'c', 'm', 'd', 'f', 'v')
if not row[3] then return false end
-- Out of the index: kept for the delta channels of newer ones only, and perhaps not complete itself.
if not redis.call('ZSCORE', key_index(ns), id) then return false end
local fields = cmsgpack.unpack(row[6])
local blobs = {}
for first = 1, #fields, 1000 do
  local last = math.min(first + 999, #fields)
  for _, blob in ipairs(redis.call('HMGET', key_blobs(ns), unpack(fields, first, last))) do
    blobs[#blobs + 1] = blob
  end
end
local sends = {}
if tonumber(row[7]) < 4 and row[1] ~= '' then sends = redis.call('HGETALL', key_writes(ns, row[1])) end
return { id, row[1], row[2], row[3], row[4], row[5] or '', fields, blobs, redis.call('HGETALL', key_writes(ns, id)), sends }
