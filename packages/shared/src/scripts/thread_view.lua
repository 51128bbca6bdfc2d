-- A thread with what its status follows from. ARGV: thread key. Returns the record's fields and the mailbox length.
local fields = redis.call('HGETALL', key.thread(ARGV[1]))
return { fields, redis.call('LLEN', key.mailbox(ARGV[1])) }
