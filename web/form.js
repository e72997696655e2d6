// SPDX-License-Identifier: MIT
// Inputs for values whose kind and range are known. One description for camera controls and settings:
// { name, label, help, kind, min, max, wide, step, scale, value, default, choices, read_only, inactive }.

const MAKERS = {
  int: number,
  float: number,
  bool: toggle,
  menu: select,
  text,
  button,
};

/** A labelled row for it; `change(value)` is called when the user has settled on one. */
export function field(about, change) {
  const row = document.createElement('div');
  row.className = `field ${about.kind}`;
  const make = MAKERS[about.kind] ?? text;
  const { inputs, set } = make(about, change);
  const label = document.createElement('label');
  label.textContent = about.label ?? words(about.name);
  row.title = about.help ?? '';
  inputs[0].id = `field-${about.name}`;
  label.htmlFor = inputs[0].id;
  inputs.slice(1).forEach((input) => input.setAttribute('aria-label', label.textContent));
  inputs.forEach((input) => Object.assign(input, { name: about.name, title: about.help ?? '' }));
  if (about.kind === 'button') row.append(...inputs);
  else row.append(label, ...inputs, undo(about, change));
  const enable = (on) => row.querySelectorAll('input, select, button').forEach((e) => { e.disabled = !on; });
  return { row, inputs, set, enable };
}

/** "white_balance-automatic" to "White balance automatic"; CamelCase of libcamera too. */
export function words(name) {
  const spaced = name.replace(/[_-]+/g, ' ').replace(/([a-z])([A-Z])/g, (_, a, b) => `${a} ${b.toLowerCase()}`);
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

function element(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

/** A slider to try things and a box to type the exact value; without a range only the box. */
function number(about, change) {
  const scale = about.scale ?? 1;
  const step = about.step || (about.kind === 'int' && scale === 1 ? 1 : 'any');
  const limits = {};
  if (about.min !== undefined && about.min !== null) limits.min = about.min / scale;
  if (about.max !== undefined && about.max !== null) limits.max = about.max / scale;
  limits.step = step === 'any' ? step : step / scale;
  const box = element('input', { type: 'number', inputMode: 'decimal', required: true, ...limits });
  const bounded = limits.min !== undefined && limits.max !== undefined && !about.wide;
  const inputs = bounded ? [element('input', { type: 'range', ...limits }), box] : [box];
  const set = (value) => inputs.forEach((input) => {
    input.value = value === null ? '' : String(tidy(value / scale));
  });
  for (const input of inputs) {
    input.addEventListener('input', () => inputs.forEach((other) => {
      if (other !== input && input.value !== '') other.value = input.value;
    }));
    input.addEventListener('change', () => {
      const value = tidy(Number(input.value) * scale);
      if (input.reportValidity()) change(about.kind === 'int' ? Math.round(value) : value);
    });
  }
  set(about.value ?? null);
  return { inputs, set };
}

/** Without the tail that binary fractions have. */
function tidy(value) {
  return Number(value.toPrecision(12));
}

function toggle(about, change) {
  const input = element('input', { type: 'checkbox' });
  input.setAttribute('role', 'switch');
  const set = (value) => { input.checked = Boolean(value); };
  input.addEventListener('change', () => change(input.checked));
  set(about.value);
  return { inputs: [input], set };
}

function select(about, change) {
  const input = document.createElement('select');
  for (const choice of about.choices ?? []) {
    input.append(element('option', { value: String(choice.value), textContent: choice.name }));
  }
  const set = (value) => { input.value = String(value); };
  input.addEventListener('change', () => {
    const chosen = about.choices.find((choice) => String(choice.value) === input.value);
    change(chosen.value);
  });
  set(about.value);
  return { inputs: [input], set };
}

function text(about, change) {
  const input = element('input', { type: 'text', autocomplete: 'off', spellcheck: false });
  const set = (value) => { input.value = value ?? ''; };
  input.addEventListener('change', () => change(input.value));
  set(about.value);
  return { inputs: [input], set };
}

function button(about, change) {
  const input = element('button', { type: 'button', textContent: about.label ?? words(about.name) });
  input.addEventListener('click', () => change(1));
  return { inputs: [input], set() {} };
}

function undo(about, change) {
  if (about.default === undefined || about.default === null || about.read_only) return '';
  const back = element('button', { type: 'button', className: 'undo', textContent: '↺' });
  back.title = `Back to ${tidyText(about)}`;
  back.setAttribute('aria-label', `${words(about.name)}: ${back.title.toLowerCase()}`);
  back.addEventListener('click', () => change(about.default));
  return back;
}

function tidyText(about) {
  const chosen = about.choices?.find((choice) => choice.value === about.default);
  if (chosen) return chosen.name;
  const standard = about.default;
  return String(typeof standard === 'number' ? tidy(standard / (about.scale ?? 1)) : standard);
}
