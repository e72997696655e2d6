// SPDX-License-Identifier: MIT
// What the page says about itself: a word in the bar, a cover over a picture that is not live, and a line
// for what has just happened.

import { address } from './api.js';

const SAID_MS = 6000;
const ANSWER_MS = 3000;
const GONE = 'The camera does not answer. Trying again …';
const FULL = 'The camera gives no picture here: too many may be watching. Trying again …';

export class StatusLine {
  #state;
  #cover;
  #said;
  #timer = 0;
  #now = '';
  #away = false; // the camera; what comes meanwhile are pictures that say so

  constructor(state, cover, said) {
    this.#state = state;
    this.#cover = cover;
    this.#said = said;
  }

  connecting() {
    this.#set('connecting', 'Connecting', 'Connecting …');
  }

  lost() {
    if (this.#now !== 'lost') this.#set('lost', 'No connection', GONE);
  }

  /** A picture has been shown. */
  shown() {
    const now = this.#away ? 'away' : 'live';
    if (this.#now !== now) this.#set(now, this.#away ? 'Not live' : 'Live', '');
  }

  /** What the program says of its camera. */
  camera({ state, why }) {
    this.#away = state !== 'live';
    this.#state.title = this.#away ? why : '';
  }

  /** No picture is shown: the program knows why. True: it has some. */
  async stalled() {
    if (this.#now !== 'lost' && this.#now !== 'stalled') this.#set('stalled', 'No picture', 'Waiting for a picture …');
    const options = { cache: 'no-store', signal: AbortSignal.timeout(ANSWER_MS) };
    const answer = await fetch(address('healthz'), options).catch(() => null);
    if (answer?.status === 503 && this.#now === 'stalled') {
      this.#cover.textContent = (await answer.text()).trim();
    } else if (this.#now === 'lost') {
      this.#cover.textContent = answer?.ok ? FULL : GONE;
    }
    return answer?.ok ?? false;
  }

  #set(now, word, cover) {
    this.#now = now;
    this.#state.dataset.state = now;
    if (this.#state.textContent !== word) this.#state.textContent = word;
    this.#cover.textContent = cover;
    this.#cover.hidden = cover === '';
  }

  say(text, bad = false) {
    clearTimeout(this.#timer);
    this.#said.textContent = text;
    this.#said.classList.toggle('bad', bad);
    if (!bad) this.#timer = setTimeout(() => { this.#said.textContent = ''; }, SAID_MS);
  }

  /** A few words of the program's own figures; each only where it is given. */
  about(line, { version, active_connections: watching, host, camera }) {
    const limits = Object.entries(host?.throttling ?? {}).filter(([, on]) => on);
    const parts = [
      camera?.format,
      Number.isFinite(watching) && `${watching} watching`,
      Number.isFinite(host?.cpu_load) && `CPU ${Math.round(host.cpu_load * 100)} %`,
      Number.isFinite(host?.temperature_c) && `${Math.round(host.temperature_c)} °C`,
      ...limits.map(([why]) => why.replaceAll('_', ' ')),
      version && `version ${version}`,
    ];
    line.textContent = parts.filter(Boolean).join(' · ');
  }
}
