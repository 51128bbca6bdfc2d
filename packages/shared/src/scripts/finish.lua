-- Ends a run, once. ARGV: run, token, nonce, ordinal of its last event, status, end event (JSON text), questions (JSON
-- text), question ids (JSON text), '1' when they can only be answered together, then the record's fields and values. The
-- winner that asks again (a re-sent script) hears `won` again.

local run_id, token, nonce, status, end_event = ARGV[1], ARGV[2], ARGV[3], ARGV[5], ARGV[6]
local run = key.run(run_id)
local r = redis.call('HMGET', run, 'status', 'endToken', 'endNonce', 'threadKey', 'chain', 'kind', 'cancel', 'tenant')
if not r[1] then return { 'lost' } end
if TERMINAL[r[1]] then
  if r[2] == token and r[3] == nonce then return { 'won', {} } end
  return { 'lost' }
end
if not holds(run_id, token, nonce, ARGV[4]) then return { 'lost' } end

local thread_key, chain_id = r[4], r[5]
local fields = { 'endToken', token, 'endNonce', nonce }
for i = 10, #ARGV do fields[#fields + 1] = ARGV[i] end
-- Who asked it to stop will not answer it, and what is taken back has no outcome.
if r[7] == 'rollback' or (status == 'interrupted' and r[7]) then status, end_event = 'cancelled', '{"status":"cancelled"}' end
if r[7] == 'rollback' then fields = { 'endToken', token, 'endNonce', nonce } end
if r[6] == 'update_state' then
  -- The state was edited where the thread waits: it goes on waiting, with what it asks now.
  local parked = redis.call('HGET', key.thread(thread_key), 'parked')
  if parked and ARGV[8] ~= '[]' then
    redis.call('HSET', key.chain(parked), 'questions', ARGV[7], 'questionIds', ARGV[8], 'whole', ARGV[9])
  elseif parked then
    unpark(thread_key, 'superseded')
  end
elseif status == 'interrupted' then
  local chain = key.chain(chain_id)
  redis.call('HSET', chain, 'state', 'parked', 'questions', ARGV[7], 'questionIds', ARGV[8], 'whole', ARGV[9])
  redis.call('HSET', key.thread(thread_key), 'parked', chain_id)
end
local job = end_run(run_id, tonumber(token), status, fields, end_event)

-- Nothing was accepted behind the deletion: submit refuses it.
if r[6] == 'delete_thread' then forget_thread(thread_key, r[8], 7 * 24 * 3600 * 1000) end
return { 'won', job }
