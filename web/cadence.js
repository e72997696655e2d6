// SPDX-License-Identifier: MIT
// The rhythm of capture times: the usual interval, and how many frames a hole in it has swallowed.

const WINDOW = 31;
const FIRST_GUESS_MS = 1000 / 30;

export class Cadence {
  #gaps = [];
  #last = 0;

  /** The median: neither a hole nor a burst moves it. */
  get interval() {
    if (this.#gaps.length === 0) return FIRST_GUESS_MS;
    const sorted = [...this.#gaps].sort((a, b) => a - b);
    return sorted[sorted.length >> 1];
  }

  /** A frame of this capture time: how many are missing between it and the one before. */
  add(capture) {
    const gap = capture - this.#last;
    const known = this.#last > 0 && gap > 0;
    const missed = known && this.#gaps.length >= 5 ? Math.round(gap / this.interval) - 1 : 0;
    if (known) {
      this.#gaps.push(gap);
      if (this.#gaps.length > WINDOW) this.#gaps.shift();
    }
    this.#last = capture;
    return Math.max(0, missed);
  }

  /** What comes next does not follow what was. */
  restart() {
    this.#last = 0;
  }
}
