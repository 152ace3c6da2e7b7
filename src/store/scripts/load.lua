-- KEYS: record. Nothing, or: generation, sealed value, ms since it was written, ms since the last
-- use, ms to the end of its whole life, ms to the end of its idle life, ms since the attempt on
-- this generation or -1.
local record = redis.call('HMGET', KEYS[1], 'g', 'v', 'w', 'u', 'd', 'a', 't')
if not record[1] then
  return false
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local attempt = -1
if record[6] == record[1] then
  attempt = now - record[7]
end
return {record[1], record[2], now - record[3], now - record[4], record[5] - now,
  redis.call('PTTL', KEYS[1]), attempt}
