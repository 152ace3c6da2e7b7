-- KEYS: record. ARGV: ms since the use, idle life (ms).
-- The generation, or nothing. Both the last use and the life are only ever raised.
local record = redis.call('HMGET', KEYS[1], 'g', 'u', 'd')
if not record[1] then
  return false
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local used = now - ARGV[1]
if used > tonumber(record[2]) then
  redis.call('HSET', KEYS[1], 'u', string.format('%.0f', used))
end
local life = math.min(ARGV[2] - ARGV[1], record[3] - now)
if life > redis.call('PTTL', KEYS[1]) then
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', life))
end
return record[1]
