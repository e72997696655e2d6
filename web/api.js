// SPDX-License-Identifier: MIT
// Addresses of the program that served this page, and JSON to and from it.

const ANSWER_MS = 10000;

// Whoever opened the page with ?token= has no other way to show it to the sockets and pictures that
// the page opens: a WebSocket and an <img> cannot carry an Authorization header.
const token = new URLSearchParams(location.search).get('token');

/** Address of `path`, relative to the page, so that it also works below a proxy's prefix. */
export function address(path) {
  const url = new URL(path, document.baseURI);
  url.username = url.password = ''; // a browser keeps these, and takes no address with them from a script
  if (token) url.searchParams.set('token', token);
  return url;
}

export function socketAddress(path) {
  const url = address(path);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url;
}

/** What it answers, or null when this build or configuration does not have `path`. Throws what it says. */
export async function request(method, path, body) {
  const answer = await fetch(address(path), {
    method,
    cache: 'no-store',
    signal: AbortSignal.timeout(ANSWER_MS), // or questions to one who is away would pile up
    headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  if (answer.status === 404 || answer.status === 405) return null;
  if (!answer.ok) throw new Error(reason(text) || `${answer.status} ${answer.statusText}`);
  return text ? JSON.parse(text) : {};
}

/** The message in an error's body: JSON with one, or plain text. */
function reason(text) {
  try {
    const said = JSON.parse(text);
    return said.detail ?? said.message ?? said.error ?? text;
  } catch {
    return text.trim();
  }
}
