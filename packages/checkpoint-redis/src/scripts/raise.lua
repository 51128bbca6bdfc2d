-- ARGV: token, nonce. Reply: {1, head id or ''} or {0, the token that stands}.
local later = later_format()
if later then return later end
local held = redis.call('HMGET', key_fence(), 'token', 'nonce')
if held[1] and (held[1] ~= ARGV[1] or held[2] ~= ARGV[2]) then
  -- Tokens stay below 2^53, so doubles compare them exactly.
  if tonumber(held[1]) >= tonumber(ARGV[1]) then return { 0, held[1] } end
end
redis.call('PERSIST', key_fence())
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then redis.call('HDEL', key_fence(), 'writes') end
redis.call('HSET', key_fence(), 'v', '1', 'token', ARGV[1], 'nonce', ARGV[2])
return { 1, redis.call('HGET', key_heads(), '') or '' }
