-- KEYS: record. Nothing, or: generation, sealed value, ms since the last use, ms to the end of
-- its whole life, ms to the end of its idle life, ms since the attempt on this generation or -1.
local record = redis.call('HMGET', KEYS[1], 'g', 'v', 'u', 'd', 'a', 't')
if not record[1] then
  return false
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local attempt = -1
if record[5] == record[1] then
  attempt = now - record[6]
end
return {record[1], record[2], now - record[3], record[4] - now,
  redis.call('PTTL', KEYS[1]), attempt}
