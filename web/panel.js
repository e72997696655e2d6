// SPDX-License-Identifier: MIT
// The camera's controls and the encoder's settings: read from the API, shown as inputs, changed one at a
// time. What was changed elsewhere shows up too, but never under the finger of who is just changing it.

import { request } from './api.js';
import { field, words } from './form.js';

const REFRESH_MS = 5000;

/** What is known of a setting beside its name; others are shown by the kind of their value. */
const SETTINGS = {
  bitrate: { label: 'Bit rate (Mbit/s)', kind: 'float', min: 1e5, max: 25e6, step: 1e5, scale: 1e6 },
  'min-bitrate': { label: 'At least (Mbit/s)', kind: 'float', min: 1e5, max: 25e6, step: 1e5, scale: 1e6 },
  quality: { label: 'JPEG quality', kind: 'int', min: 1, max: 100, step: 1 },
  gop: { label: 'Key frame every … frames', kind: 'int', min: 1, max: 600, step: 1 },
  fps: { label: 'Frames per second', kind: 'float', min: 1, max: 120, step: 1 },
};

class Panel {
  #section;
  #body;
  #path;
  #fields = new Map();
  #say;

  constructor(section, path, say) {
    this.#section = section;
    this.#body = section.querySelector('.fields');
    this.#path = path;
    this.#say = say;
    setInterval(() => !document.hidden && !section.hidden && this.refresh(), REFRESH_MS);
  }

  /** Read all values; the section stays hidden when there are none to read. */
  async refresh() {
    try {
      const answer = await request('GET', this.#path);
      const items = answer ? this.describe(answer) : [];
      this.#section.hidden = items.length === 0;
      this.#show(items);
    } catch (e) {
      this.#section.hidden = this.#fields.size === 0;
    }
  }

  #show(items) {
    const shape = JSON.stringify(items.map(({ value, ...rest }) => rest));
    if (this.#body.dataset.shape !== shape) this.#build(items, shape);
    for (const item of items) {
      const { inputs, set } = this.#fields.get(item.name);
      if (!inputs.includes(document.activeElement)) set(item.value);
    }
  }

  #build(items, shape) {
    this.#body.dataset.shape = shape;
    this.#fields.clear();
    this.#body.replaceChildren();
    for (const item of items) {
      const made = field(item, (value) => this.#change(item, value));
      this.#fields.set(item.name, made);
      this.#body.append(made.row);
    }
  }

  async #change(item, value) {
    try {
      await request('PATCH', this.#path, { [item.name]: value });
      this.#fields.get(item.name)?.set(value);
      this.#say(item.kind === 'button' ? `${words(item.name)}: done` : '');
    } catch (e) {
      this.#say(`${item.label ?? words(item.name)}: ${e.message}`, true);
    }
    document.activeElement?.matches('input[type=text]') || this.refresh(); // one control may switch others
  }
}

export class ControlsPanel extends Panel {
  describe(answer) {
    return answer.controls ?? [];
  }
}

export class SettingsPanel extends Panel {
  describe(answer) {
    return Object.entries(answer.settings ?? answer)
      .filter(([, value]) => ['number', 'boolean', 'string'].includes(typeof value))
      .map(([name, value]) => ({ name, value, ...(SETTINGS[name] ?? { kind: kindOf(value) }) }));
  }
}

function kindOf(value) {
  if (typeof value === 'boolean') return 'bool';
  return typeof value === 'number' ? 'float' : 'text';
}
