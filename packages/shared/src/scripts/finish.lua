-- Ends a run, once. ARGV: run, token, nonce, status, end event (JSON text), questions (JSON text), question ids
-- (JSON text), then the record's fields and values. The winner that asks again (a re-sent script) hears `won` again.

local run_id, token, nonce, status = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local run = key.run(run_id)
local r = redis.call('HMGET', run, 'status', 'endToken', 'endNonce', 'threadKey', 'chain', 'kind')
if not r[1] then return { 'lost' } end
if TERMINAL[r[1]] then
  if r[2] == token and r[3] == nonce then return { 'won', {} } end
  return { 'lost' }
end
if not holds(run_id, token, nonce) then return { 'lost' } end

local thread_key, chain_id = r[4], r[5]
local fields = { 'endToken', token, 'endNonce', nonce }
for i = 8, #ARGV do fields[#fields + 1] = ARGV[i] end
if status == 'interrupted' then
  local chain = key.chain(chain_id)
  redis.call('HSET', chain, 'state', 'parked', 'questions', ARGV[6], 'questionIds', ARGV[7])
  redis.call('HSET', key.thread(thread_key), 'parked', chain_id)
end
local job = end_run(run_id, tonumber(token), status, fields, ARGV[5])

if r[6] == 'delete_thread' then
  for _, id in ipairs(redis.call('ZRANGE', key.threadRuns(thread_key), 0, -1)) do
    redis.call('UNLINK', key.run(id), key.events(id), key.chain(id))
  end
  -- Runs accepted behind the deletion would have found the thread gone; there are none: submit refuses them.
  redis.call('UNLINK', key.thread(thread_key), key.threadRuns(thread_key), key.mailbox(thread_key))
  redis.call('ZREM', key.expiry(), thread_key)
  -- The fence outlives the data for as long as a forgotten writer could.
  redis.call('EXPIRE', key.lease(thread_key), 7 * 24 * 3600)
end
return { 'won', job }
