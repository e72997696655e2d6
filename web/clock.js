// SPDX-License-Identifier: MIT
// The camera's clock as seen from here. Capture times are the camera's; the browser's clock may differ
// from it by seconds, so the difference is measured, as NTP does: of several questions the one that was
// answered fastest says it best, because it is wrong by at most half its round trip.

const SAMPLES = 16;
const PLAUSIBLE_MS = 1000;
const DRIFT_MS = 20; // of two clocks while the samples last

/** Milliseconds since the Unix epoch, finer than Date.now(), and not set back while the page is open. */
export function localNow() {
  return performance.timeOrigin + performance.now();
}

export class CameraClock {
  #samples = [];
  #least = Infinity;

  /** `sent` and `received`: local times; `remote`: what the camera's clock said in between. */
  add(sent, remote, received) {
    const trip = received - sent;
    const offset = remote - (sent + received) / 2;
    // Older ones that contradict this one are of before a clock was set, or this machine slept.
    const agrees = (old) => Math.abs(old.offset - offset) <= (old.trip + trip) / 2 + DRIFT_MS;
    this.#samples = [...this.#samples.filter(agrees), { trip, offset }].slice(-SAMPLES);
  }

  /** A frame of capture time `capture` has just arrived: of use as long as the camera was not asked. */
  saw(capture) {
    this.#least = Math.min(this.#least, localNow() - capture);
  }

  /** False: what `offset` gives is a guess. */
  get measured() {
    return this.#samples.length > 0;
  }

  get offset() {
    if (this.measured) return this.#samples.reduce((a, b) => (b.trip < a.trip ? b : a)).offset;
    // Two clocks that NTP keeps need no correction; others are taken to agree at the fastest frame.
    const agree = this.#least > -50 && this.#least < PLAUSIBLE_MS;
    return agree || this.#least === Infinity ? 0 : -this.#least;
  }

  /** A local time in the camera's terms. */
  at(local) {
    return local + this.offset;
  }
}
