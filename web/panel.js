// SPDX-License-Identifier: MIT
// The camera's controls and the encoder's settings: read from the API, shown as inputs, changed one at a
// time. What was changed elsewhere shows up too, but never under the finger of who is just changing it.

import { request } from './api.js';
import { field, words } from './form.js';

const REFRESH_MS = 5000;

/** Better words and narrower limits than the API's own for the settings that are changed most. */
const SETTINGS = {
  bitrate: { label: 'Bit rate', min: 1e5, max: 25e6, step: 1e5 },
  'min-bitrate': { label: 'Bit rate at least', min: 1e5, max: 25e6, step: 1e5 },
  quality: { label: 'JPEG quality', min: 1, max: 100 },
  gop: { label: 'Frames from key frame to key frame', min: 1, max: 600 },
};
const UNITS = {
  bytes: { scale: 2 ** 20, unit: 'MiB' },
  'bits/s': { scale: 1e6, unit: 'Mbit/s' },
};
const KINDS = { boolean: 'bool', integer: 'int', number: 'float', choice: 'menu', string: 'text', list: 'text' };
const SLIDER_MOST = 1e5; // a slider over more steps than this hits nothing

class Panel {
  #section;
  #path;
  #say;
  #shape = '';
  #absent = false;
  #fields = new Map();

  constructor(section, path, say) {
    this.#section = section;
    this.#path = path;
    this.#say = say;
    setInterval(() => !document.hidden && !this.#absent && this.refresh(), REFRESH_MS);
  }

  /** Read all values; the section stays hidden when there are none to read. `all`: also where the user is. */
  async refresh(all = false) {
    try {
      const answer = await request('GET', this.#path);
      const items = answer ? this.describe(answer) : [];
      this.#absent = answer === null;
      this.#section.hidden = items.length === 0;
      this.#show(items, all);
    } catch {
      // No camera at the moment, or no connection: the status line says so already.
    }
  }

  #show(items, all) {
    const shape = JSON.stringify(items.map(({ value, changed, inactive, ...lasting }) => lasting));
    if (this.#shape !== shape) this.#build(items);
    this.#shape = shape;
    for (const item of items) {
      const { inputs, set, enable } = this.#fields.get(item.name);
      enable(!item.inactive && !item.read_only);
      if (all || !inputs.includes(document.activeElement)) set(item.value);
    }
  }

  #build(items) {
    const more = this.#section.querySelector('.more');
    this.#fields.clear();
    for (const fields of this.#section.querySelectorAll('.fields')) fields.replaceChildren();
    for (const item of items) {
      const made = field(item, (value) => this.#change(item, value));
      this.#fields.set(item.name, made);
      (item.more ? more : this.#section).querySelector('.fields').append(made.row);
    }
    if (more) more.hidden = !items.some((item) => item.more);
  }

  async #change(item, value) {
    try {
      const answer = await request('PATCH', this.#path, { [item.name]: value });
      if (answer === null) throw new Error('this cannot be changed here');
      this.#say(item.kind === 'button' ? `${words(item.name)}: done` : '');
      this.#fields.get(item.name)?.set(value);
      this.refresh(); // one may have switched others on or off
    } catch (e) {
      this.#say(`${item.label}: ${e.message}`, true);
      this.refresh(true);
    }
  }
}

export class ControlsPanel extends Panel {
  describe(answer) {
    return (answer.controls ?? []).map(normal);
  }
}

export class SettingsPanel extends Panel {
  describe(answer) {
    return (answer.settings ?? []).filter(({ type }) => type !== 'list').map((about) => {
      const { default: standard, ...rest } = about; // as text of the command line, not as a value
      return normal({ ...rest, more: !(about.name in SETTINGS), ...SETTINGS[about.name] });
    });
  }
}

/** As form.js wants it. */
function normal(about) {
  const choices = about.choices?.map((c) => (typeof c === 'object' ? c : { value: c, name: c }));
  const kind = KINDS[about.type] ?? about.type;
  const wide = (about.max - about.min) / (about.step || 1) > SLIDER_MOST;
  const { scale, unit } = UNITS[about.unit] ?? about;
  const label = (about.label ?? words(about.name)) + (unit ? ` (${unit})` : '');
  return { ...about, label, kind, choices, wide, scale };
}
