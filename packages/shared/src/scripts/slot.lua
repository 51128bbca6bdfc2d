-- Begins every script on a cluster. While the slot moves to another node, some of its keys are here and some there, and
-- neither node can tell a key that is elsewhere from one that never was. Asked for two that never are, it answers with
-- an error as long as that lasts. Nothing has been written by then, and the client comes again.
if type(redis.pcall('EXISTS', KEYS[1] .. ':-', KEYS[1] .. ':--')) == 'table' then
  return redis.error_reply('TRYAGAIN The slot is on the move')
end
