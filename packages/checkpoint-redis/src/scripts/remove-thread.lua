-- ARGV: token, nonce, budget. Reply: 1 while there is more to do.
local refused = refusal(ARGV[1], ARGV[2])
if refused then return refused end
return remove_thread(tonumber(ARGV[3]))
