-- Who may write. An unfenced writer (token '') may only while the thread has no fence, else it would bypass it.
local function refusal(token, nonce)
  local held = redis.call('HMGET', key_fence(), 'token', 'nonce')
  if token == '' then
    if not held[1] then return nil end
  elseif held[1] == token and held[2] == nonce then
    return nil
  end
  return redis.error_reply('FENCED ' .. (held[1] or '0'))
end

local function now_ms()
  local time = redis.call('TIME')
  return string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
end
