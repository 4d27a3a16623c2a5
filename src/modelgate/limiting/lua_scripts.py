"""Lua scripts that implement the rate limits of `windows` in Redis. They require Redis 6.

Each bucket is stored under one key, because a script in a Redis Cluster may only use keys of one slot. The
value of a key is a list: for each window, the start of the current step and then the counts of its steps,
newest first. Unlike in `windows`, the counts are not packed into one integer.
"""

import hashlib
from typing import NamedTuple

__all__ = ["HIT", "REFUND", "RESET", "Script"]


class Script(NamedTuple):
    """Lua script with its SHA-1 digest, which Redis uses as the cache key."""

    text: str
    sha: str

    @classmethod
    def of(cls, text: str) -> "Script":
        """Return the script with this text."""
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


HIT = Script.of("""
-- ARGV: time, or empty for the server's time; cost; time to live of the key in milliseconds; block; an
-- earlier charge to refund, and its time; then amount, step and number of steps of each window. A sliding
-- window has two steps. If there is room for the cost, the block or all room for it is charged.
local now, cost, block = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])
local unused, charged_at = tonumber(ARGV[5]), tonumber(ARGV[6])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1000000
end
local packed = redis.call('GET', KEYS[1])
local old = packed and cmsgpack.unpack(packed) or {}
local state, newest, available, room, changed, index = {}, {}, {}, math.huge, unused > 0, 1
for i = 7, #ARGV, 3 do
  local amount, step, steps = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  if unused > 0 and packed then
    local steps_ago = math.max(0, math.ceil((old[index] - charged_at) / step))
    local k = index + 1 + steps_ago
    if steps_ago < steps and old[k] >= unused then old[k] = old[k] - unused end
  end
  local start, elapsed, counts, sum = old[index] or now, 0, {}, 0
  if now < start then
    start, changed = now, true
  elseif now >= start + step then
    elapsed = math.max(1, math.floor((now - start) / step + 1e-9))
    start, changed = start + elapsed * step, true
  end
  for k = 1, steps do
    counts[k] = k > elapsed and old[index + k - elapsed] or 0
    sum = sum + counts[k]
  end
  if sum == 0 and old[#old] ~= 'reset' then start = now end
  local usage = sum
  if steps == 2 then usage = counts[1] + math.floor(counts[2] * (1 - (now - start) / step)) end
  available[#available + 1] = amount - usage
  room = math.min(room, amount - usage)
  state[index], newest[#newest + 1] = start, index + 1
  for k = 1, steps do state[index + k] = counts[k] end
  index = index + 1 + steps
end
local allowed = cost <= room
if allowed then
  local charge = math.max(cost, math.min(block, room))
  for _, k in ipairs(newest) do state[k] = state[k] + charge end
end
if allowed or changed then
  redis.call('SET', KEYS[1], cmsgpack.pack(state), 'PX', ARGV[3])
end
local reply = {allowed and '1' or '0', string.format('%.17g', now)}
for _, value in ipairs(available) do reply[#reply + 1] = string.format('%.0f', value) end
for _, value in ipairs(state) do reply[#reply + 1] = string.format('%.17g', value) end
return reply
""")

REFUND = Script.of("""
-- ARGV: cost; time of the charge; then step and number of steps of each window.
local cost, charged_at = tonumber(ARGV[1]), tonumber(ARGV[2])
local packed = redis.call('GET', KEYS[1])
if not packed then return end
local state, index = cmsgpack.unpack(packed), 1
for i = 3, #ARGV, 2 do
  local step, steps = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  local steps_ago = math.max(0, math.ceil((state[index] - charged_at) / step))
  local k = index + 1 + steps_ago
  if steps_ago < steps and state[k] >= cost then state[k] = state[k] - cost end
  index = index + 1 + steps
end
redis.call('SET', KEYS[1], cmsgpack.pack(state), 'KEEPTTL')
""")

RESET = Script.of("""
-- ARGV: number of steps of each window. The starts stay, because a bucket that starts again looks like lost data.
local packed = redis.call('GET', KEYS[1])
if not packed then return 0 end
local state = cmsgpack.unpack(packed)
for i = 1, #state do
  if (i - 1) % (ARGV[1] + 1) ~= 0 then state[i] = 0 end
end
if state[#state] ~= 'reset' then state[#state + 1] = 'reset' end
redis.call('SET', KEYS[1], cmsgpack.pack(state), 'KEEPTTL')
return 1
""")
