-- ARGV: thread key, tenant, id, metadata (JSON text), ttl ms. Returns 'created', 'exists' or 'deleting'.
local thread = key.thread(ARGV[1])
if redis.call('EXISTS', thread) == 1 then
  return redis.call('HGET', thread, 'deleting') and 'deleting' or 'exists'
end
redis.call('HSET', thread, 'id', ARGV[3], 'tenant', ARGV[2], 'createdAt', NOW_MS, 'metadata', ARGV[4], 'ttl', ARGV[5],
  'throwaway', '')
touch_thread(ARGV[1])
return 'created'
