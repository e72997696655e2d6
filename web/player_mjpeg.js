// SPDX-License-Identifier: MIT
// The MJPEG stream, when H.264 cannot be played. It is read here instead of by an <img>, because then
// each part's capture time and number are known, only the newest picture is decoded, and a stream that
// breaks is noticed.

import { address } from './api.js';
import { localNow } from './clock.js';

const RETRY_MS = 1000;
const SILENT_MS = 10000;
const HEAD_MAX = 4096;
const BODY_MAX = 64 << 20;

export class MjpegPlayer {
  static label = 'MJPEG';
  static ownStream = true; // needs no access units
  element = document.createElement('canvas');
  #hooks;
  #context = this.element.getContext('2d', { alpha: false });
  #abort = null;
  #timer = 0;
  #newest = null;
  #drawing = false;
  #number = 0;

  static async supported() {
    return 'ReadableStream' in window && 'createImageBitmap' in window;
  }

  /** `hooks` as the other players', and those of the stream. */
  constructor(hooks) {
    this.#hooks = hooks;
  }

  start() {
    this.#abort?.abort();
    this.#abort = new AbortController();
    this.#run(this.#abort);
  }

  restart() {
    this.#number = 0;
  }

  stop() {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#abort = null;
  }

  async #run(abort) {
    while (abort === this.#abort) {
      try {
        const answer = await fetch(address('stream.mjpg'), { signal: abort.signal, cache: 'no-store' });
        if (!answer.ok) throw new Error(await answer.text());
        this.#number = 0;
        this.#hooks.opened();
        await this.#read(answer.body.getReader(), abort);
      } catch {
        // it is tried again, if it is still wanted
      }
      if (abort !== this.#abort) return;
      this.#hooks.lost();
      abort = this.#abort = new AbortController();
      await new Promise((resolve) => { this.#timer = setTimeout(resolve, RETRY_MS); });
    }
  }

  async #read(reader, abort) {
    const parser = new PartParser((head, body) => this.#receive(head, body));
    for (;;) {
      const silent = setTimeout(() => abort.abort(), SILENT_MS);
      const { done, value } = await reader.read();
      clearTimeout(silent);
      if (done) return;
      this.#hooks.bytes(value.byteLength);
      parser.add(value);
    }
  }

  #receive(head, body) {
    const number = Number(head['x-frame-number']);
    if (this.#number && number > this.#number + 1) this.#hooks.missed(number - this.#number - 1);
    this.#number = number;
    if (this.#newest) this.#hooks.dropped(1);
    this.#newest = { body, capture: Number(head['x-timestamp']) * 1000 };
    if (!this.#drawing) this.#draw();
  }

  async #draw() {
    this.#drawing = true;
    while (this.#newest) {
      const { body, capture } = this.#newest;
      this.#newest = null;
      try {
        const image = await createImageBitmap(new Blob([body], { type: 'image/jpeg' }));
        this.#paint(image);
        this.#hooks.shown(capture, localNow());
      } catch {
        this.#hooks.dropped(1);
      }
    }
    this.#drawing = false;
  }

  #paint(image) {
    if (this.element.width !== image.width || this.element.height !== image.height) {
      this.element.width = image.width;
      this.element.height = image.height;
    }
    this.#context.drawImage(image, 0, 0);
    image.close();
  }
}

/** multipart/x-mixed-replace, piece by piece. Each part says its length, so no boundary is looked for. */
export class PartParser {
  #each;
  #chunks = [];
  #size = 0;
  #head = null;

  constructor(each) {
    this.#each = each;
  }

  add(chunk) {
    this.#chunks.push(chunk);
    this.#size += chunk.byteLength;
    while (this.#step());
  }

  #step() {
    if (this.#head) return this.#takeBody();
    if (this.#chunks.length === 0) return false;
    const bytes = this.#join();
    const text = new TextDecoder('latin1').decode(bytes.subarray(0, HEAD_MAX));
    const end = text.indexOf('\r\n\r\n');
    if (end < 0) {
      if (bytes.length >= HEAD_MAX) throw new Error('no head of a part');
      return false;
    }
    this.#drop(end + 4);
    this.#head = fields(text.slice(0, end));
    return true;
  }

  #takeBody() {
    const length = Number(this.#head['content-length']);
    if (!(length > 0 && length <= BODY_MAX)) throw new Error('no length of a part');
    if (this.#size < length) return false;
    const body = this.#join().slice(0, length);
    this.#drop(length);
    this.#each(this.#head, body);
    this.#head = null;
    return this.#size > 0;
  }

  #join() {
    if (this.#chunks.length > 1) {
      const all = new Uint8Array(this.#size);
      let at = 0;
      for (const chunk of this.#chunks) {
        all.set(chunk, at);
        at += chunk.byteLength;
      }
      this.#chunks = [all];
    }
    return this.#chunks[0];
  }

  #drop(count) {
    this.#chunks = [this.#join().subarray(count)];
    this.#size -= count;
    if (this.#size === 0) this.#chunks = [];
  }
}

function fields(text) {
  const head = {};
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) head[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim();
  }
  return head;
}
