// SPDX-License-Identifier: MIT
// Snapshot and recording.

import { address, request } from './api.js';

const REFRESH_MS = 5000;

/** Saves the newest picture under a name that says when it was taken. */
export async function saveSnapshot(say) {
  try {
    const answer = await fetch(address('snapshot'), { cache: 'no-store' });
    if (!answer.ok) throw new Error((await answer.text()).trim());
    const taken = new Date(Number(answer.headers.get('X-Timestamp')) * 1000 || Date.now());
    const link = document.createElement('a');
    link.href = URL.createObjectURL(await answer.blob());
    link.download = `${stamp(taken)}.jpg`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    say(`Saved ${link.download}`);
  } catch (e) {
    say(`Snapshot: ${e.message}`, true);
  }
}

/** 20260131-235959-123, local time. */
function stamp(date) {
  const two = (n) => String(n).padStart(2, '0');
  const day = `${date.getFullYear()}${two(date.getMonth() + 1)}${two(date.getDate())}`;
  const time = `${two(date.getHours())}${two(date.getMinutes())}${two(date.getSeconds())}`;
  return `${day}-${time}-${String(date.getMilliseconds()).padStart(3, '0')}`;
}

/**
 * The buttons for the archive on the camera's machine: record, and keep what was just seen (the archive in
 * memory). They show what the program does, also when somebody else has started it.
 */
export class Recorder {
  #record;
  #dump;
  #say;
  #on = false;
  #none = false;
  #problem = null;
  #dumps = Infinity; // not known yet

  constructor(record, dump, say) {
    this.#record = record;
    this.#dump = dump;
    this.#say = say;
    record.addEventListener('click', () => this.#toggle());
    dump.addEventListener('click', () => this.#keep());
    setInterval(() => !document.hidden && !this.#none && this.refresh(), REFRESH_MS);
  }

  async refresh() {
    const state = await request('GET', 'api/v1/recording').catch(() => undefined);
    if (state !== undefined) this.#show(state ?? { state: 'none' });
  }

  #show({ recording, state, problem, ram }) {
    this.#on = Boolean(recording);
    this.#record.hidden = state === 'none';
    this.#none = state === 'none' && !ram;
    this.#record.classList.toggle('on', this.#on);
    this.#record.querySelector('.text').textContent = this.#on ? 'Stop recording' : 'Record';
    if (problem && problem !== this.#problem) this.#say(`Recording: ${problem}`, true);
    this.#problem = problem;
    this.#dump.hidden = !ram;
    if (!ram) return;
    this.#dump.querySelector('.text').textContent = `Keep last ${Math.round(ram.seconds)}\u00a0s`;
    if (ram.dumps > this.#dumps && ram.file) this.#say(`Kept as ${ram.file}`);
    this.#dumps = ram.dumps;
  }

  #toggle() {
    const action = this.#on ? 'stop' : 'start';
    return this.#do('api/v1/recording', { action }, this.#on ? 'Recording stops' : 'Recording starts');
  }

  #keep() {
    return this.#do('api/v1/archive/dump', undefined, 'Being written on the camera’s machine');
  }

  async #do(path, body, done) {
    try {
      const state = await request('POST', path, body);
      if (state === null) throw new Error('this camera cannot');
      this.#say(done);
      this.#show(state);
      setTimeout(() => this.refresh(), 1000); // it is done in its own time
    } catch (e) {
      this.#say(`Recording: ${e.message}`, true);
    }
  }
}
