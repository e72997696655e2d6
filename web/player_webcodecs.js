// SPDX-License-Identifier: MIT
// H.264 through WebCodecs to a canvas: no media clock and no buffer, each picture is shown the moment it
// is decoded. Browsers offer it only to secure pages (HTTPS, or localhost).

import { localNow } from './clock.js';

const LATE_UNITS = 8; // waiting to be decoded: beyond that it is quicker to go on at a key frame
const PATIENCE = 3; // decoders that may fail in a row

export class WebCodecsPlayer {
  static label = 'WebCodecs';
  element = document.createElement('canvas');
  #hooks;
  #context = this.element.getContext('2d', { alpha: false, desynchronized: true });
  #decoder = null;
  #codec = '';
  #waiting = true; // for a key frame
  #failures = 0;

  static async supported() {
    if (!('VideoDecoder' in window)) return false;
    const answer = await VideoDecoder.isConfigSupported({ codec: 'avc1.42e01f' });
    return answer.supported;
  }

  /** `hooks`: shown(capture, local time), dropped(n), needKey(), failed(this, why). */
  constructor(hooks) {
    this.#hooks = hooks;
  }

  feed(unit) {
    if (this.#decoder?.decodeQueueSize > LATE_UNITS) this.#close();
    const ready = unit.key ? this.#prepare(unit.codec) : !this.#waiting;
    if (!ready) {
      this.#skip();
      return;
    }
    this.#waiting = false;
    this.#decoder.decode(new EncodedVideoChunk({
      type: unit.key ? 'key' : 'delta',
      timestamp: unit.capture * 1000,
      data: unit.data,
    }));
  }

  /** What comes next does not follow what was. */
  restart() {
    this.#waiting = true;
  }

  stop() {
    this.#close();
  }

  #prepare(codec) {
    if (this.#decoder && (!codec || codec === this.#codec)) return true;
    this.#close();
    if (!codec) return false;
    const decoder = new VideoDecoder({
      output: (frame) => this.#show(decoder, frame),
      error: (e) => this.#broken(decoder, e),
    });
    this.#decoder = decoder;
    this.#codec = codec;
    decoder.configure({ codec, optimizeForLatency: true }); // no description: Annex B
    return true;
  }

  #show(decoder, frame) {
    if (decoder === this.#decoder) {
      this.#failures = 0;
      this.#draw(frame);
      this.#hooks.shown(frame.timestamp / 1000, localNow());
    }
    frame.close();
  }

  #draw(frame) {
    const { displayWidth: width, displayHeight: height } = frame;
    if (this.element.width !== width || this.element.height !== height) {
      this.element.width = width;
      this.element.height = height;
    }
    this.#context.drawImage(frame, 0, 0, width, height);
  }

  #skip() {
    this.#hooks.dropped(1);
    this.#hooks.needKey();
  }

  #broken(decoder, error) {
    if (decoder !== this.#decoder) return;
    this.#close();
    this.#skip();
    if (++this.#failures >= PATIENCE) this.#hooks.failed(this, error.message);
  }

  #close() {
    const decoder = this.#decoder;
    this.#decoder = null;
    this.#waiting = true;
    if (decoder && decoder.state !== 'closed') decoder.close();
  }
}
