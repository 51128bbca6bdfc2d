-- On a cluster, begins every script. While the slot moves to another node, its keys are half here and half there, and
-- neither node can tell a key that is elsewhere from one that never was. Of two keys that never are, a node asked in
-- such a time says an error; then nothing has been written yet, and the client comes again.
if type(redis.pcall('EXISTS', KEYS[1] .. ':-', KEYS[1] .. ':--')) == 'table' then
  return redis.error_reply('TRYAGAIN The slot is on the move')
end
