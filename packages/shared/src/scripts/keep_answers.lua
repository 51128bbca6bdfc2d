-- Keeps answers until all that a parked chain asks is answered. ARGV: chain, then question id and answer (JSON text) of
-- each. What is no open question is passed over, and of two answers to one the first stays. Returns ids and answers of all
-- that is kept, in twos, and '1' when nothing is left open.
local chain = key.chain(ARGV[1])
local state, ids = unpack(redis.call('HMGET', chain, 'state', 'questionIds'))
if state ~= 'parked' then return { {}, '' } end
local given = {}
for i = 2, #ARGV, 2 do given[ARGV[i]] = ARGV[i + 1] end
local kept, open = {}, ''
for _, id in ipairs(cjson.decode(ids or '[]')) do
  if given[id] then redis.call('HSETNX', chain, 'kept:' .. id, given[id]) end
  local answer = redis.call('HGET', chain, 'kept:' .. id)
  if answer then
    kept[#kept + 1] = id
    kept[#kept + 1] = answer
  else
    open = id
  end
end
-- Whoever watches sees fewer questions.
call_answered(redis.call('HGET', chain, 'newestRun'))
return { kept, open == '' and '1' or '' }
