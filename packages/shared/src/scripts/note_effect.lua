-- What became of calls that have begun. ARGV: run, token, nonce, then id, field and value of each.

local run_id, token, nonce = ARGV[1], ARGV[2], ARGV[3]
if not holds(run_id, token, nonce) then return 'lost' end
local chain = key.chain(redis.call('HGET', key.run(run_id), 'chain'))
local effects = cjson.decode(redis.call('HGET', chain, 'effects') or '{}')
for i = 4, #ARGV, 3 do
  local one = effects[ARGV[i]]
  if one then one[ARGV[i + 1]] = ARGV[i + 2] end
end
redis.call('HSET', chain, 'effects', cjson.encode(effects))
return 'ok'
