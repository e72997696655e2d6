// SPDX-License-Identifier: MIT
// As much of H.264's Annex B as a player needs: is it a key frame, and which codec string does it have?

const IDR = 5;
const SPS = 7;

/** Calls `each(type, offset)` for every NAL unit until it returns true. */
function walk(bytes, each) {
  for (let i = bytes.indexOf(1, 2); i > 0; i = bytes.indexOf(1, i + 1)) {
    if (bytes[i - 1] === 0 && bytes[i - 2] === 0 && each(bytes[i + 1] & 31, i + 1)) return;
  }
}

/**
 * { key, codec } of an access unit; `codec` ("avc1.42c01f", RFC 6381) only of one that brings its
 * parameter sets. The walk ends at the first slice: what follows is of the same kind.
 */
export function inspect(bytes) {
  const unit = { key: false, codec: '', sps: '' };
  walk(bytes, (type, at) => {
    if (type === SPS) {
      unit.codec = `avc1.${hex(bytes.subarray(at + 1, at + 4))}`;
      unit.sps = hex(bytes.subarray(at, nextStart(bytes, at)));
    }
    unit.key ||= type === IDR;
    return type >= 1 && type <= IDR;
  });
  return unit;
}

function nextStart(bytes, from) {
  for (let i = from; i + 2 < bytes.length; i++) {
    if (bytes[i] === 0 && bytes[i + 1] === 0 && bytes[i + 2] <= 1) return i;
  }
  return bytes.length;
}

function hex(bytes) {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
}
