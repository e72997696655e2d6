// SPDX-License-Identifier: MIT
// What is counted while the picture plays, as figures of each second.

export class Meter {
  #latencies = [];
  #frames = 0;
  #bytes = 0;
  #drops = 0;
  #since = performance.now();

  bytes(count) {
    this.#bytes += count;
  }

  dropped(count) {
    this.#drops += count;
  }

  shown(latency) {
    this.#frames++;
    this.#latencies.push(latency);
  }

  /** Figures since the last call; `latency` is null when nothing was shown. */
  take() {
    const now = performance.now();
    const seconds = Math.max(0.001, (now - this.#since) / 1000);
    const sorted = this.#latencies.sort((a, b) => a - b);
    const figures = {
      latency: sorted.length > 0 ? sorted[sorted.length >> 1] : null,
      worst: sorted.at(-1) ?? null,
      fps: this.#frames / seconds,
      bitrate: (this.#bytes * 8) / seconds,
      drops: this.#drops,
    };
    this.#latencies = [];
    this.#frames = this.#bytes = this.#drops = 0;
    this.#since = now;
    return figures;
  }
}
