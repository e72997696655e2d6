// SPDX-License-Identifier: MIT
// The live page: picks a way to play, feeds it, and shows what it measures.

import { address, request } from './api.js';
import { CameraClock, localNow } from './clock.js';
import { Meter } from './meter.js';
import { ControlsPanel, SettingsPanel } from './panel.js';
import { MjpegPlayer } from './player_mjpeg.js';
import { MsePlayer } from './player_mse.js';
import { WebCodecsPlayer } from './player_webcodecs.js';
import { Recorder, saveSnapshot } from './actions.js';
import { StatusLine } from './status.js';
import { H264Stream } from './stream.js';
import { Tiles } from './tiles.js';

const PLAYERS = { webcodecs: WebCodecsPlayer, mse: MsePlayer, mjpeg: MjpegPlayer };
const AWAY_MS = 5000; // a hidden page plays on for so long
const KEY_MS = 500;
const STALLED_S = 3; // without a picture: the program is asked why
const HOPELESS = 2; // times in a row that it said it had some: they are played another way
const STATS_MS = 2000;

const $ = (id) => document.getElementById(id);
const clock = new CameraClock();
const meter = new Meter();
const status = new StatusLine($('state'), $('cover'), $('said'));
const tiles = new Tiles($);

let player = null;
let keyAsked = -Infinity;
let ratio = 0; // of the stage
let plays = 0;
let still = 0; // seconds without a picture
let hopeless = 0;
let awayTimer = 0;

const hooks = {
  shown(capture, local) {
    status.shown();
    meter.shown(clock.at(local) - capture);
    fitStage();
  },
  dropped: (count) => meter.dropped(count),
  missed: (count) => meter.dropped(count),
  bytes: (count) => meter.bytes(count),
  unit(unit) {
    clock.saw(unit.capture);
    player?.feed(unit);
  },
  opened: () => player?.restart(),
  lost: () => status.lost(),
  needKey() {
    const now = performance.now();
    if (now - keyAsked < KEY_MS) return;
    keyAsked = now;
    request('POST', 'api/v1/keyframe').catch(() => {}); // the next one comes by itself
  },
  failed(which, why) {
    const names = Object.keys(PLAYERS);
    const others = names.slice(names.findIndex((name) => PLAYERS[name] === which.constructor) + 1);
    if (which !== player || others.length === 0) return; // it is another's turn already, or nobody's
    status.say(`${which.constructor.label}: ${why}`, true);
    play(others);
  },
};
const stream = new H264Stream(hooks);

// ---- playing ----

/** Play by the first of these ways that works here. */
async function play(names) {
  const turn = ++plays;
  stopPlaying();
  for (const name of names) {
    const works = await PLAYERS[name].supported();
    if (turn !== plays) return; // another way was chosen meanwhile
    if (works) {
      startPlaying(name);
      return;
    }
    if (name === $('player').value) {
      status.say(`${PLAYERS[name].label} is not to be had in this browser, or not without HTTPS.`, true);
    }
  }
}

function startPlaying(name) {
  player = new PLAYERS[name](hooks);
  player.element.id = 'picture';
  $('stage').prepend(player.element);
  $('player-now').textContent = PLAYERS[name].label;
  document.documentElement.dataset.player = name;
  connect();
}

function connect() {
  still = hopeless = 0;
  status.connecting();
  (player.constructor.ownStream ? player : stream).start();
}

function disconnect() {
  stream.stop();
  if (player?.constructor.ownStream) player.stop();
}

function stopPlaying() {
  stream.stop();
  player?.stop();
  player?.element.remove();
  player = null;
}

function chosen() {
  const wish = $('player').value;
  const all = Object.keys(PLAYERS);
  return Object.hasOwn(PLAYERS, wish) ? [wish, ...all.filter((name) => name !== wish)] : all;
}

/** The picture's shape becomes the stage's: no bars. */
function fitStage() {
  const { element } = player;
  const width = element.videoWidth ?? element.width;
  const height = element.videoHeight ?? element.height;
  if (!(width > 0 && height > 0) || width / height === ratio) return;
  ratio = width / height;
  $('stage').style.setProperty('--ratio', ratio);
}

// A hidden page soon stops taking the stream: nobody sees it, and the network is spared. Coming back it
// connects anew, which begins with a key frame of this moment; so it is never behind.
function visibilityChanged() {
  clearTimeout(awayTimer);
  if (document.hidden) restWhileHidden();
  else if (player) connect();
}

function restWhileHidden() {
  if (document.hidden && !document.pictureInPictureElement) awayTimer = setTimeout(disconnect, AWAY_MS);
}

// ---- figures ----

function everySecond() {
  const now = meter.take();
  if (document.hidden) return;
  for (const name of ['latency', 'fps', 'bitrate', 'drops']) tiles.show(name, now[name]);
  if (!clock.measured && now.latency !== null) $('latency').prepend('≈ ');
  $('tile-latency').title = now.worst === null ? '' : `slowest frame of this second: ${Math.round(now.worst)} ms`;
  still = now.fps === 0 ? still + 1 : 0;
  if (still === 0) hopeless = 0;
  else if (still % STALLED_S === 0) stalled();
}

/**
 * Nothing is shown. If the program has pictures, and has had them for longer than it takes to connect anew,
 * another way may show them: there may be no encoder, or no WebSockets through a proxy.
 */
async function stalled() {
  const which = player;
  hopeless = (await status.stalled()) ? hopeless + 1 : 0;
  if (which && hopeless >= HOPELESS) hooks.failed(which, 'no picture comes');
}

/** Ask for the program's own figures: its clock, and what it says of itself. */
async function readStats() {
  if (document.hidden) return true;
  const sent = localNow();
  const stats = await request('GET', 'stats').catch(() => undefined);
  if (stats === null) return false;
  if (stats && Number.isFinite(stats.now_ms)) clock.add(sent, stats.now_ms, localNow());
  if (stats) status.about($('about'), stats);
  if (stats?.camera) status.camera(stats.camera);
  if (stats?.name) $('title').textContent = document.title = stats.name;
  return true;
}

async function pollStats() {
  // A few at first, so that the clock is known early; the fastest of them counts.
  for (let i = 1; await readStats(); i++) {
    if (i >= 4) await new Promise((resolve) => { setTimeout(resolve, STATS_MS); });
  }
}

// ---- what the user does ----

async function toggleFullscreen() {
  try {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await $('stage').requestFullscreen();
  } catch (e) {
    status.say(`Full screen: ${e.message}`, true);
  }
}

function start() {
  const say = (text, bad) => status.say(text, bad);
  const wish = new URLSearchParams(location.search).get('player');
  if (Object.hasOwn(PLAYERS, wish)) $('player').value = wish;
  $('player').addEventListener('change', () => play(chosen()));
  $('snapshot').addEventListener('click', () => saveSnapshot(say));
  $('fullscreen').addEventListener('click', toggleFullscreen);
  $('fullscreen').hidden = !document.fullscreenEnabled;
  $('stage').addEventListener('dblclick', toggleFullscreen);
  $('stage').addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return; // the browser's own
    if (event.key === 'f') toggleFullscreen();
    if (event.key === 's') saveSnapshot(say);
  });
  $('stage').addEventListener('leavepictureinpicture', restWhileHidden);
  document.addEventListener('visibilitychange', visibilityChanged);
  window.addEventListener('online', () => player && connect());
  $('title').textContent = document.title = location.hostname;
  $('alone').href = address('stream.mjpg');
  $('licence').href = address('web/vendor/jmuxer-2.1.1.LICENSE.txt');
  new Recorder($('record'), $('dump'), say).refresh();
  new ControlsPanel($('controls'), 'api/v1/controls', say).refresh();
  new SettingsPanel($('settings'), 'api/v1/settings', say).refresh();
  setInterval(everySecond, 1000);
  pollStats();
  play(chosen());
  restWhileHidden(); // opened in the background
}

start();
