// SPDX-License-Identifier: MIT
// H.264 by WebSocket: each message is an access unit and, in its last 8 bytes, the capture time in
// milliseconds, little-endian. The first message after connecting is a key frame: that is what makes
// connecting anew the surest way back to the live edge.

import { socketAddress } from './api.js';
import { Cadence } from './cadence.js';
import { inspect } from './h264.js';

const RETRY_MS = [250, 500, 1000, 2000];
const SILENT_MS = 10000;
const TRAILER = 8;

export class H264Stream {
  #hooks;
  #socket = null;
  #timer = 0;
  #failures = 0;
  #heard = 0;
  #cadence = new Cadence();

  /** `hooks`: unit(unit), bytes(n), missed(n), opened(), lost(). */
  constructor(hooks) {
    this.#hooks = hooks;
  }

  start() {
    this.stop();
    this.#connect();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const socket = this.#socket;
    this.#socket = null; // so that its last events are nobody's
    socket?.close();
  }

  #connect() {
    const socket = new WebSocket(socketAddress('ws'));
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    this.#cadence.restart();
    const ours = (handle) => (event) => this.#socket === socket && handle(event);
    socket.addEventListener('open', ours(() => this.#hooks.opened()));
    socket.addEventListener('message', ours((event) => this.#receive(event.data)));
    socket.addEventListener('close', ours(() => this.#lost()));
    this.#heard = performance.now();
    this.#watch(socket);
  }

  /** A connection whose other end has vanished without a word stays open for minutes. */
  #watch(socket) {
    this.#timer = setTimeout(() => {
      if (this.#socket !== socket) return;
      if (performance.now() - this.#heard < SILENT_MS) {
        this.#watch(socket);
        return;
      }
      this.stop();
      this.#lost();
    }, SILENT_MS / 4);
  }

  #lost() {
    this.stop();
    this.#hooks.lost();
    const wait = RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)];
    this.#timer = setTimeout(() => this.#connect(), wait * (0.8 + 0.4 * Math.random()));
  }

  #receive(message) {
    if (!(message instanceof ArrayBuffer) || message.byteLength <= TRAILER) return;
    this.#heard = performance.now();
    this.#failures = 0;
    const size = message.byteLength - TRAILER;
    const view = new DataView(message, size);
    const capture = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
    const data = new Uint8Array(message, 0, size);
    this.#hooks.bytes(message.byteLength);
    const missed = this.#cadence.add(capture);
    if (missed > 0) this.#hooks.missed(missed);
    this.#hooks.unit({ data, capture, ...inspect(data) });
  }
}
