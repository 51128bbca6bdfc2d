-- Who may write. Arguments: token, nonce, the number of this write among those under the lease, and up to which number
-- the writer knows them to be stored.
-- An unfenced writer (token '') may only while the thread has no fence, else it would bypass it. Where fewer writes are
-- stored than the writer knows of, the store has gone back to an older state, and this one would build on what is gone.
local function refusal(token, nonce, number, stored)
  local held = redis.call('HMGET', key_fence(), 'token', 'nonce', 'writes')
  if token == '' then
    if not held[1] then return nil end
  elseif held[1] == token and held[2] == nonce then
    local writes = tonumber(held[3] or '0')
    if writes >= tonumber(stored) then
      if tonumber(number) > writes then redis.call('HSET', key_fence(), 'writes', number) end
      return nil
    end
    return redis.error_reply('FENCED ' .. held[1] .. ' BACK')
  end
  return redis.error_reply('FENCED ' .. (held[1] or '0'))
end

local function now_ms()
  local time = redis.call('TIME')
  return string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
end
