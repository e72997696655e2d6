// SPDX-License-Identifier: MIT
// The figures: each of this second, the most of the last two minutes, and how it went.

import { Plot } from './plot.js';

/** `least`: what the plot reaches up to at least; `text`: in the unit that stands beside it. */
const KINDS = {
  latency: { least: 50, text: (ms) => ms.toFixed(0) },
  fps: { least: 10, text: (n) => n.toFixed(n < 9.95 ? 1 : 0) },
  bitrate: { least: 1e6, text: (bits) => (bits / 1e6).toFixed(bits < 995e3 ? 2 : 1) },
  drops: { least: 5, text: String },
};

export class Tiles {
  #find;
  #plots = {};

  /** `find`: an element by its id. */
  constructor(find) {
    this.#find = find;
    for (const [name, { least }] of Object.entries(KINDS)) this.#plots[name] = new Plot(find(`plot-${name}`), least);
  }

  /** One more second; null: not known. */
  show(name, value) {
    const { text } = KINDS[name];
    const most = this.#plots[name].add(value);
    this.#find(name).textContent = value === null ? '–' : text(value);
    this.#find(`${name}-most`).textContent = `max ${text(most)}`;
  }
}
