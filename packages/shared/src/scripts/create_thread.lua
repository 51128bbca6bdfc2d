-- ARGV: thread key, tenant, id, metadata (JSON text), ttl ms, hash of the request when it may be repeated.
-- Returns 'created', 'exists' or 'deleting'; for a repeated request 'created' again, or 'conflict'.
local thread = key.thread(ARGV[1])
if redis.call('EXISTS', thread) == 1 then
  local deleting, hash = unpack(redis.call('HMGET', thread, 'deleting', 'createHash'))
  if deleting then return 'deleting' end
  if ARGV[6] == '' then return 'exists' end
  return hash == ARGV[6] and 'created' or 'conflict'
end
redis.call('HSET', thread, 'version', 1, 'id', ARGV[3], 'tenant', ARGV[2], 'createdAt', NOW_MS, 'metadata', ARGV[4], 'ttl', ARGV[5],
  'throwaway', '', 'createHash', ARGV[6])
touch_thread(ARGV[1])
return 'created'
