-- KEYS: lock, record. ARGV: token, whether the attempt is over (1 or 0).
-- 1, or 0 if it is not ours (any more).
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if ARGV[2] == '1' then
  redis.call('HDEL', KEYS[2], 'a', 't')
end
return redis.call('DEL', KEYS[1])
