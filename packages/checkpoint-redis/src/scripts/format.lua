-- What this version of the package reads and writes. A thread that a later one has written is left alone.
local FORMAT = 1

local function later_format()
  local format = tonumber(redis.call('HGET', key_record(), 'v') or FORMAT)
  if format > FORMAT then return redis.error_reply('LATER ' .. format) end
end
