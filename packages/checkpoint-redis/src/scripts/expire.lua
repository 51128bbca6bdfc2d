-- ARGV: cutoff in ms, nonce of this sweep, '1' for the first step, budget, '1' to remove the fence as well.
-- Reply: 1 while there is more to do, 0 when done, -1 when the thread is in use.
-- Nothing stored: whoever holds the fence may be about to begin.
if redis.call('EXISTS', key_record()) == 0 then return 0 end
local touched = redis.call('HGET', key_record(), 't')
if touched and tonumber(touched) > tonumber(ARGV[1]) then return -1 end
local held = redis.call('HMGET', key_fence(), 'token', 'nonce')
if held[1] and held[2] ~= ARGV[2] then
  -- A new holder took over since the first step: what it finds is its own.
  if ARGV[3] ~= '1' then return -1 end
  -- Like any writer, the sweep takes the fence, so that a holder that is merely slow is refused and does not
  -- write onto a thread that is half gone.
  redis.call('HSET', key_fence(), 'token', string.format('%.0f', tonumber(held[1]) + 1), 'nonce', ARGV[2])
end
local more = remove_thread(tonumber(ARGV[4]))
if more == 0 and ARGV[5] == '1' then redis.call('UNLINK', key_fence()) end
return more
