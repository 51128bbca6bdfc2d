-- A tool that must not be repeated is about to be called. ARGV: run, token, nonce, the call (JSON).
-- Returns 'begun' when it may be, and is noted; else what is known of it: 'unknown' with the note, 'returned' with the output,
-- 'skip' with the result that a person gave.

local run_id, token, nonce, call = ARGV[1], ARGV[2], ARGV[3], cjson.decode(ARGV[4])
if not holds(run_id, token, nonce) then return { 'lost' } end
local chain_id, cancel = unpack(redis.call('HMGET', key.run(run_id), 'chain', 'cancel'))
if cancel then return { 'cancel' } end

local chain, effects = key.chain(chain_id), {}
-- Calls of former steps are over: their results are stored.
for id, one in pairs(cjson.decode(redis.call('HGET', chain, 'effects') or '{}')) do
  if one.root == call.root then effects[id] = one end
end

local known = effects[call.id]
if known then
  if known.decision == 'skip' then return { 'skip', known.result } end
  if known.output then return { 'returned', known.output } end
  -- Under the same lease it is the graph that calls again: it has seen how the first call failed.
  if known.token ~= token and known.decision ~= 'repeat' then return { 'unknown', cjson.encode(known) } end
end

call.token, call.began, call.times = token, NOW_MS, (known and known.times or 0) + 1
effects[call.id] = call
redis.call('HSET', chain, 'effects', cjson.encode(effects))
return { 'begun' }
