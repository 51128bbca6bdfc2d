-- Appends events. ARGV: run, token, nonce, ordinal of the first, then name and data of each.
-- Events that this lease has already written (a re-sent script) are passed over.

local run_id, token, nonce, first = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if not holds(run_id, token, nonce, first - 1) then return 'lost' end
local lease = key.lease(redis.call('HGET', key.run(run_id), 'threadKey'))
local seen = tonumber(redis.call('HGET', lease, 'ordinal') or '0')
local last, ordinal = nil, first
for i = 5, #ARGV, 2 do
  if ordinal > seen then last = append_event(run_id, token, ARGV[i], ARGV[i + 1]) end
  ordinal = ordinal + 1
end
if last then
  redis.call('HSET', lease, 'ordinal', ordinal - 1)
  call_out(run_id, last)
end
return redis.call('HGET', key.run(run_id), 'cancel') and 'cancel' or 'ok'
