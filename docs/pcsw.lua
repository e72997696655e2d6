-- SPDX-License-Identifier: MIT
--
-- Wireshark and tshark dissector for PCSW, the wire between pi-camera-streamer and video-receiver
-- (docs/protocol.md). Wireshark 3.6 and later.
--
--   tshark -X lua_script:docs/pcsw.lua -i any -f 'tcp port 5000' -O pcsw
--   wireshark -X lua_script:docs/pcsw.lua capture.pcapng
--
-- To have it always, copy it to the folder that Wireshark shows under Help > About > Folders as
-- "Personal Lua Plugins". Run as root, newer ones ignore scripts. Connections to other ports are
-- recognised by their first message, unless another dissector claims the port; then, and for a capture
-- that begins later, set the preference pcsw.ports or use "Decode As".

local pcsw = Proto("pcsw", "Camera stream (PCSW)")

local MAGIC = 0x50435357
local VERSION = 1
local CONTROL_MAX = 508 -- the largest length of a message that is not a FRAME
local FRAME_FIXED = 36 -- length of a FRAME without its payload
local FRAME_MAX = FRAME_FIXED + 32 * 1024 * 1024

local types = {
  [1] = "HELLO", [2] = "WELCOME", [3] = "FRAME", [4] = "FORMAT", [5] = "BYE", [6] = "ACK",
  [7] = "PING", [8] = "PONG", [9] = "KEY", [10] = "REPLAY", [11] = "ERROR",
}
local codecs = { [1] = "JPEG", [2] = "H.264" }
local ranges = { [0] = "limited", [1] = "full" }
local matrices = { [0] = "BT.601", [1] = "BT.709" }
local errors = {
  [1] = "protocol", [2] = "version", [3] = "busy", [4] = "refused", [5] = "limit",
}

local field = {
  length = ProtoField.uint32("pcsw.length", "Length", base.DEC, nil, nil, "Bytes that follow"),
  type = ProtoField.uint8("pcsw.type", "Type", base.DEC, types),
  magic = ProtoField.uint32("pcsw.magic", "Magic", base.HEX, nil, nil, '"PCSW"'),
  version = ProtoField.uint16("pcsw.version", "Version", base.DEC),
  flags = ProtoField.uint16("pcsw.flags", "Flags", base.HEX),
  need_key = ProtoField.bool("pcsw.need_key", "Begin with a key frame", 16, nil, 0x0001),
  has_id = ProtoField.bool("pcsw.has_id", "Can be recognised", 16, nil, 0x0002),
  id = ProtoField.bytes("pcsw.id", "Receiver", base.NONE, "The same after a restart"),
  need_key_byte = ProtoField.bool("pcsw.need_key", "Begin with a key frame"),
  session = ProtoField.bytes("pcsw.session", "Session", base.NONE, "One run of one sender"),
  first_seq = ProtoField.uint64("pcsw.first_seq", "Oldest frame it can send", base.DEC),
  next_seq = ProtoField.uint64("pcsw.next_seq", "Next frame", base.DEC),
  mono_us = ProtoField.uint64("pcsw.mono_us", "Monotonic clock (us)", base.DEC),
  wall_us = ProtoField.uint64("pcsw.wall_us", "Wall clock (us)", base.DEC),
  wall = ProtoField.absolute_time("pcsw.wall", "Wall clock", base.UTC),
  format = ProtoField.none("pcsw.format", "Format"),
  codec = ProtoField.uint8("pcsw.format.codec", "Codec", base.DEC, codecs),
  range = ProtoField.uint8("pcsw.format.range", "Colour range", base.DEC, ranges),
  matrix = ProtoField.uint8("pcsw.format.matrix", "Colour matrix", base.DEC, matrices),
  format_reserved = ProtoField.uint8("pcsw.format.reserved", "Reserved", base.DEC),
  width = ProtoField.uint16("pcsw.format.width", "Width", base.DEC),
  height = ProtoField.uint16("pcsw.format.height", "Height", base.DEC),
  fps_num = ProtoField.uint32("pcsw.format.fps_num", "Frame rate, numerator", base.DEC),
  fps_den = ProtoField.uint32("pcsw.format.fps_den", "Frame rate, denominator", base.DEC),
  text_length = ProtoField.uint8("pcsw.text_length", "Length of the text", base.DEC),
  name = ProtoField.string("pcsw.name", "Name", base.UNICODE),
  software = ProtoField.string("pcsw.software", "Software", base.UNICODE),
  from_seq = ProtoField.uint64("pcsw.from_seq", "Go on from frame", base.DEC),
  frame_flags = ProtoField.uint8("pcsw.frame.flags", "Flags", base.HEX),
  key = ProtoField.bool("pcsw.frame.key", "Key frame", 8, nil, 0x01),
  again = ProtoField.bool("pcsw.frame.again", "Was sent before", 8, nil, 0x02),
  rewound = ProtoField.bool("pcsw.frame.rewound", "First after WELCOME or REPLAY", 8, nil, 0x04),
  frame_reserved = ProtoField.uint16("pcsw.frame.reserved", "Reserved", base.HEX),
  seq = ProtoField.uint64("pcsw.seq", "Frame number", base.DEC),
  capture_us = ProtoField.uint64("pcsw.capture_us", "Captured (sender's clock, us)", base.DEC),
  pts_delay_us = ProtoField.uint32("pcsw.pts_delay_us", "Shown after decoding (us)", base.DEC),
  encode_us = ProtoField.uint32("pcsw.encode_us", "Capture to packet (us)", base.DEC),
  send_us = ProtoField.uint32("pcsw.send_us", "Capture to socket (us)", base.DEC),
  skipped = ProtoField.uint32("pcsw.skipped", "Frames never sent so far", base.DEC),
  size = ProtoField.uint32("pcsw.size", "Payload bytes", base.DEC),
  payload = ProtoField.bytes("pcsw.payload", "Payload"),
  synced_seq = ProtoField.uint64("pcsw.synced_seq", "On disk up to frame", base.DEC),
  received_seq = ProtoField.uint64("pcsw.received_seq", "Received up to frame", base.DEC),
  t0_us = ProtoField.uint64("pcsw.t0_us", "t0, probe sent (receiver's clock, us)", base.DEC),
  t1_us = ProtoField.uint64("pcsw.t1_us", "t1, probe arrived (sender's clock, us)", base.DEC),
  t2_us = ProtoField.uint64("pcsw.t2_us", "t2, probe answered (sender's clock, us)", base.DEC),
  error_code = ProtoField.uint16("pcsw.error.code", "Reason", base.DEC, errors),
  error_text = ProtoField.string("pcsw.error.text", "Text", base.UNICODE),
  extra = ProtoField.bytes("pcsw.extra", "Behind the fields of this version"),
}
pcsw.fields = field

local expert = {
  short = ProtoExpert.new("pcsw.expert.short", "Message ends before its fields",
    expert.group.MALFORMED, expert.severity.ERROR),
  length = ProtoExpert.new("pcsw.expert.length", "Length is zero or beyond the limit",
    expert.group.MALFORMED, expert.severity.ERROR),
  type = ProtoExpert.new("pcsw.expert.type", "Unknown message type",
    expert.group.PROTOCOL, expert.severity.ERROR),
  magic = ProtoExpert.new("pcsw.expert.magic", "This is not PCSW",
    expert.group.PROTOCOL, expert.severity.ERROR),
  version = ProtoExpert.new("pcsw.expert.version", "Another version of the protocol",
    expert.group.PROTOCOL, expert.severity.WARN),
  value = ProtoExpert.new("pcsw.expert.value", "Value out of range",
    expert.group.PROTOCOL, expert.severity.ERROR),
  cut = ProtoExpert.new("pcsw.expert.cut", "Message is not complete in this capture",
    expert.group.REASSEMBLE, expert.severity.WARN),
  extra = ProtoExpert.new("pcsw.expert.extra", "Fields of a later version",
    expert.group.PROTOCOL, expert.severity.CHAT),
  refused = ProtoExpert.new("pcsw.expert.refused", "The peer gave up",
    expert.group.RESPONSE_CODE, expert.severity.NOTE),
}
pcsw.experts = expert

pcsw.prefs.ports = Pref.range("TCP ports", "5000,8888", "Ports of video-receivers and of senders that serve", 65535)

-- A message's bytes from front to back. After the first field that is not whole, nothing more is
-- read: one expert info says so.
local Cursor = {}
Cursor.__index = Cursor

local function cursor_on(tvb, pos, stop, tree)
  return setmetatable({ tvb = tvb, pos = pos, stop = stop, tree = tree, bad = false }, Cursor)
end

function Cursor:left()
  return self.bad and 0 or self.stop - self.pos
end

function Cursor:take(n)
  if self.bad then return nil end
  if n > self:left() then
    self.bad = true
    self.tree:add_proto_expert_info(expert.short)
    return nil
  end
  local range = self.tvb:range(self.pos, n)
  self.pos = self.pos + n
  return range
end

-- The next n bytes as this field. Returns range and item; nil when they are not there.
function Cursor:add(f, n, tree)
  local range = self:take(n)
  if not range then return nil end
  return range, (tree or self.tree):add(f, range)
end

local SEQ_MAX = UInt64.new(0, 0x40000000) -- 2^62
local TIME_MAX = UInt64.new(0, 0x20000000) -- 2^61

function Cursor:bounded(f, most, least)
  local range, item = self:add(f, 8)
  if not range then return nil end
  local value = range:uint64()
  if value > most or value < UInt64.new(least or 0) then
    item:add_proto_expert_info(expert.value)
  end
  return value
end

function Cursor:seq(f, least)
  return self:bounded(f, SEQ_MAX, least)
end

function Cursor:time(f)
  return self:bounded(f, TIME_MAX)
end

function Cursor:text(f)
  local range = self:add(field.text_length, 1)
  if not range then return nil end
  local n = range:uint()
  if n == 0 then
    self.tree:add(f, range, "")
    return ""
  end
  range = self:take(n)
  if not range then return nil end
  self.tree:add_packet_field(f, range, ENC_UTF_8)
  return range:string(ENC_UTF_8)
end

-- Magic and version; true when the rest is for us to read.
function Cursor:preamble()
  local range, item = self:add(field.magic, 4)
  if range and range:uint() ~= MAGIC then
    item:add_proto_expert_info(expert.magic)
    self.bad = true
  end
  range, item = self:add(field.version, 2)
  if range and range:uint() ~= VERSION then
    item:add_proto_expert_info(expert.version)
    self.pos = self.stop
    return false
  end
  return range ~= nil
end

local function known(range, item, names)
  if range and not names[range:uint()] then
    item:add_proto_expert_info(expert.value)
  end
end

local function size_field(c, f, tree)
  local range, item = c:add(f, 2, tree)
  if range and (range:uint() < 1 or range:uint() > 8192) then
    item:add_proto_expert_info(expert.value)
  end
  return range and range:uint() or 0
end

local function format_fields(c)
  local n = math.min(16, c:left())
  local tree = n > 0 and c.tree:add(field.format, c.tvb:range(c.pos, n)) or c.tree
  local range, item = c:add(field.codec, 1, tree)
  known(range, item, codecs)
  local codec = range and codecs[range:uint()] or "?"
  range, item = c:add(field.range, 1, tree)
  known(range, item, ranges)
  range, item = c:add(field.matrix, 1, tree)
  known(range, item, matrices)
  c:add(field.format_reserved, 1, tree)
  local width = size_field(c, field.width, tree)
  local height = size_field(c, field.height, tree)
  c:add(field.fps_num, 4, tree)
  c:add(field.fps_den, 4, tree)
  local text = string.format("%s %dx%d", codec, width, height)
  if n > 0 then tree:append_text(": " .. text) end
  return text
end

local function clock_fields(c)
  c:time(field.mono_us)
  local wall = c:time(field.wall_us)
  if wall then
    local seconds = (wall / 1000000):tonumber()
    local rest = (wall % 1000000):tonumber()
    c.tree:add(field.wall, c.tvb:range(c.pos - 8, 8), NSTime.new(seconds, rest * 1000)):set_generated()
  end
end

-- One function per type: adds the fields, returns what the packet list shows behind the type's name.
local body = {}

function body.HELLO(c)
  if not c:preamble() then return "of another version" end
  c:add(field.flags, 2)
  c:add(field.session, 16)
  local first = c:seq(field.first_seq, 1)
  local next_seq = c:seq(field.next_seq, 1)
  clock_fields(c)
  local format = format_fields(c)
  local name = c:text(field.name)
  c:text(field.software)
  return string.format('"%s" %s, frames %s to %s', name or "?", format, first or "?",
    next_seq and next_seq - 1 or "?")
end

function body.WELCOME(c)
  if not c:preamble() then return "of another version" end
  local range = c:add(field.flags, 2)
  if range then
    c.tree:add(field.need_key, range)
    c.tree:add(field.has_id, range)
  end
  local from = c:seq(field.from_seq)
  local name = c:text(field.name)
  c:text(field.software)
  if range and range:uint() % 4 >= 2 then c:add(field.id, 16) end
  return string.format('"%s" from %s%s', name or "?", from or "?",
    range and range:uint() % 2 == 1 and " (key frame)" or "")
end

local function frame_flags(c)
  local range, item = c:add(field.frame_flags, 1)
  if not range then return "" end
  for _, f in ipairs({ field.key, field.again, field.rewound }) do
    item:add(f, range)
  end
  local flags, names = range:uint(), {}
  if flags % 2 >= 1 then names[#names + 1] = "key" end
  if flags % 4 >= 2 then names[#names + 1] = "again" end
  if flags % 8 >= 4 then names[#names + 1] = "rewound" end
  return #names > 0 and " (" .. table.concat(names, ", ") .. ")" or ""
end

function body.FRAME(c)
  local flags = frame_flags(c)
  c:add(field.frame_reserved, 2)
  local seq = c:seq(field.seq, 1)
  c:time(field.capture_us)
  c:add(field.pts_delay_us, 4)
  c:add(field.encode_us, 4)
  c:add(field.send_us, 4)
  c:add(field.skipped, 4)
  local size = c:left()
  if not c.bad then
    c.tree:add(field.size, size):set_generated()
  end
  if size > 0 then
    c:add(field.payload, size)
  elseif not c.bad then
    c.tree:add_proto_expert_info(expert.length)
  end
  return string.format("%s%s, %d bytes", seq or "?", flags, size)
end

function body.FORMAT(c)
  return format_fields(c)
end

function body.BYE(c)
  local next_seq = c:seq(field.next_seq, 1)
  c:add(field.skipped, 4)
  return string.format("last frame %s", next_seq and next_seq - 1 or "?")
end

function body.ACK(c)
  local synced = c:seq(field.synced_seq)
  local received = c:seq(field.received_seq)
  return string.format("on disk %s, received %s", synced or "?", received or "?")
end

function body.PING(c)
  c:time(field.t0_us)
  return ""
end

function body.PONG(c)
  c:time(field.t0_us)
  c:time(field.t1_us)
  c:time(field.t2_us)
  return ""
end

function body.KEY()
  return ""
end

function body.REPLAY(c)
  local from = c:seq(field.from_seq)
  local range = c:add(field.need_key_byte, 1)
  return string.format("from %s%s", from or "?",
    range and range:uint() ~= 0 and " (key frame)" or "")
end

function body.ERROR(c)
  local range = c:add(field.error_code, 2)
  local text = c:text(field.error_text)
  c.tree:add_proto_expert_info(expert.refused)
  return string.format("%s: %s", range and (errors[range:uint()] or range:uint()) or "?", text or "?")
end

local function show(pinfo, name, text)
  pinfo.cols.info:append(text ~= "" and name .. " " .. text .. "; " or name .. "; ")
end

-- The message at `offset`, `size` bytes with its length field, all of them there.
local function dissect_message(tvb, offset, size, pinfo, root)
  local tree = root:add(pcsw, tvb:range(offset, size))
  local c = cursor_on(tvb, offset, offset + size, tree)
  c:add(field.length, 4)
  local range, item = c:add(field.type, 1)
  local name = types[range:uint()]
  if not name then
    item:add_proto_expert_info(expert.type)
    show(pinfo, "type " .. range:uint(), "")
    return
  end
  local text = body[name](c)
  if c:left() > 0 then
    c.tree:add(field.extra, c.tvb:range(c.pos, c:left())):add_proto_expert_info(expert.extra)
  end
  tree:append_text(", " .. name)
  show(pinfo, name, text)
end

-- What cannot be a message, or is not whole: shown with the reason, up to the end of the segment.
local function give_up(tvb, offset, root, why)
  local tree = root:add(pcsw, tvb:range(offset))
  if tvb:len() - offset >= 4 then tree:add(field.length, tvb:range(offset, 4)) end
  if tvb:len() - offset >= 5 then tree:add(field.type, tvb:range(offset + 4, 1)) end
  tree:add_proto_expert_info(why)
end

local function limit_of(kind)
  return kind == 3 and FRAME_MAX or CONTROL_MAX
end

-- Bytes of the message at `offset`; nil and how many more are needed to know; nil when it is none.
local function message_size(tvb, offset)
  local left = tvb:len() - offset
  if left < 5 then return nil, 5 - left end
  local length = tvb:range(offset, 4):uint()
  if length < 1 or length > limit_of(tvb:range(offset + 4, 1):uint()) then return nil end
  return 4 + length
end

function pcsw.dissector(tvb, pinfo, root)
  pinfo.cols.protocol = "PCSW"
  pinfo.cols.info:clear()
  local whole = tvb:len() == tvb:reported_len()
  local offset = 0
  while offset < tvb:len() do
    local size, missing = message_size(tvb, offset)
    if size then missing = math.max(0, offset + size - tvb:len()) end
    if not missing then
      give_up(tvb, offset, root, expert.length)
      break
    end
    if missing > 0 then
      if pinfo.can_desegment > 0 and whole then
        pinfo.desegment_offset = offset
        pinfo.desegment_len = missing
      else
        give_up(tvb, offset, root, expert.cut)
      end
      break
    end
    dissect_message(tvb, offset, size, pinfo, root)
    offset = offset + size
  end
  pinfo.cols.info:fence()
  return tvb:len()
end

-- A connection begins with HELLO from one side and WELCOME from the other, both with the magic.
local function recognise(tvb, pinfo, root)
  if tvb:len() < 9 or tvb:range(0, 4):uint() > CONTROL_MAX then return false end
  local kind = tvb:range(4, 1):uint()
  if (kind ~= 1 and kind ~= 2) or tvb:range(5, 4):uint() ~= MAGIC then return false end
  pinfo.conversation = pcsw
  pcsw.dissector(tvb, pinfo, root)
  return true
end

local tcp_port = DissectorTable.get("tcp.port")
local registered = ""

local function register_ports()
  local wanted = tostring(pcsw.prefs.ports)
  if wanted == registered then return end
  if registered ~= "" then tcp_port:remove(registered, pcsw) end
  if wanted ~= "" then tcp_port:add(wanted, pcsw) end
  registered = wanted
end

function pcsw.prefs_changed()
  register_ports()
end

register_ports()
tcp_port:add_for_decode_as(pcsw)
pcsw:register_heuristic("tcp", recognise)
