// SPDX-License-Identifier: MIT
// Snapshot and recording.

import { address, request } from './api.js';

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

/** The record button: shows what the program does, also when somebody else has started it. */
export class Recorder {
  #button;
  #say;
  #on = false;

  constructor(button, say) {
    this.#button = button;
    this.#say = say;
    button.addEventListener('click', () => this.#toggle());
    setInterval(() => !document.hidden && !button.hidden && this.refresh(), 5000);
  }

  async refresh() {
    const state = await request('GET', 'api/v1/recording').catch(() => null);
    this.#button.hidden = state === null;
    if (state) this.#show(state);
  }

  #show(state) {
    this.#on = Boolean(state.recording ?? state.active);
    this.#button.setAttribute('aria-pressed', String(this.#on));
    this.#button.querySelector('.text').textContent = this.#on ? 'Stop' : 'Record';
  }

  async #toggle() {
    try {
      const state = await request('POST', 'api/v1/recording', { recording: !this.#on });
      if (state) this.#show({ recording: !this.#on, ...state });
      this.#say(this.#on ? 'Recording' : 'Recording stopped');
    } catch (e) {
      this.#say(`Recording: ${e.message}`, true);
    }
  }
}
