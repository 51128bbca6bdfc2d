-- ARGV: ns, insertion number to stay below or '', ns and id of the checkpoint to stay below ('' for none), count.
-- Reply: {1 if that checkpoint was found, ids with insertion numbers, newest first}.
local upper, found = '+inf', 0
if ARGV[4] ~= '' then
  local position = redis.call('ZSCORE', key_index(ARGV[3]), ARGV[4])
  if position then
    upper = '(' .. position
    found = 1
  end
end
if ARGV[2] ~= '' then upper = '(' .. ARGV[2] end
return { found, redis.call('ZREVRANGEBYSCORE', key_index(ARGV[1]), upper, '-inf', 'WITHSCORES', 'LIMIT', 0, ARGV[5]) }
