-- Redis's own clock, and how its numbers are written.

local function time_us()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- Lua prints large numbers as 1.7e+15, and no reader would take them back.
local function int(n) return string.format('%.0f', n) end

local NOW_US = time_us()
local NOW_MS = math.floor(NOW_US / 1000)
