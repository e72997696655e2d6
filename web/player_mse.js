// SPDX-License-Identifier: MIT
// H.264 through Media Source Extensions to a <video>: what there is on plain http://pi:8080. jMuxer wraps
// the access units as MP4; it, too, can hold a live edge, but only once a second and by jumping, so that is
// done here: a little faster or slower while the distance is small, a jump when it is large.

import { Cadence } from './cadence.js';
import { localNow } from './clock.js';

const STEER_MS = 50;
const JUMP_S = 0.4; // further behind than this: jump …
const JUMP_FIRST_S = 0.1; // … and than this while the stream is new
const NEW_MS = 1000;
const SPARE_LEAST_MS = 15; // between a frame's arrival and its turn
const SPARE_MOST_MS = 70;
const NEVER_MS = 1e9;
const KEEP_S = 10; // of what has been shown

export class MsePlayer {
  static label = 'Media Source';
  element = document.createElement('video');
  #hooks;
  #muxer = null;
  #source = null; // of the video, its own
  #sps = '';
  #waiting = true; // for a key frame
  #early = []; // units that came before it was open: jMuxer would lose them
  #cadence = new Cadence();
  #base = 0; // capture time of the media time 0
  #end = 0; // of the media time line, ms
  #frames = []; // { from, capture }: what is shown when
  #newest = { from: 0, arrived: 0 };
  #spare = SPARE_LEAST_MS;
  #begun = Infinity; // when the stream did, anew
  #starvedAt = 0;
  #timer = 0;
  #dropped = 0;
  #reported = 0;

  static async supported() {
    const source = window.MediaSource ?? window.ManagedMediaSource;
    if (!source?.isTypeSupported('video/mp4; codecs="avc1.42e01f"')) return false;
    return import('./vendor/jmuxer-2.1.1.min.js').then(() => true, () => false); // only where it is needed
  }

  constructor(hooks) {
    this.#hooks = hooks;
    const video = this.element;
    video.muted = true; // else it may not start by itself
    video.autoplay = true;
    video.playsInline = true;
    video.disableRemotePlayback = true;
    video.addEventListener('waiting', () => this.#starved());
    video.addEventListener('error', () => this.#muxer && this.#rebuild());
    this.#timer = setInterval(() => this.#steer(), STEER_MS);
    this.#follow();
  }

  feed(unit) {
    if (unit.key && unit.sps && unit.sps !== this.#sps) this.#begin(unit.sps);
    if (!this.#muxer || (this.#waiting && !unit.key)) {
      this.#hooks.needKey();
      return;
    }
    if (this.#waiting) this.#begun = performance.now();
    this.#waiting = false;
    if (this.#source) this.#append(unit);
    else this.#early.push(unit);
  }

  #append(unit) {
    const duration = this.#place(unit.capture);
    this.#muxer.feed({ video: unit.data, duration, isLastVideoFrameComplete: true });
  }

  restart() {
    this.#waiting = true;
    this.#cadence.restart();
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#endMuxer();
    this.element.removeAttribute('src');
    this.element.load();
  }

  /** A new time line. jMuxer reads only the first parameter sets, so new ones need a new jMuxer. */
  #begin(sps) {
    this.#endMuxer();
    this.#sps = sps;
    this.#end = 0;
    this.#frames = [];
    const muxer = this.#muxer = new window.JMuxer({
      node: this.element,
      mode: 'video',
      flushingTime: 0, // each unit at once
      maxDelay: NEVER_MS, // it need not jump
      clearBuffer: false, // nor guess by the number of frames what is over
      onReady: (again, source) => muxer === this.#muxer && this.#opened(source),
      onError: () => queueMicrotask(() => muxer === this.#muxer && this.#rebuild()),
      onUnsupportedCodec: (codec) => this.#hooks.failed(this, `${codec} cannot be played`),
    });
  }

  #opened(source) {
    this.#source = source;
    this.#early.forEach((unit) => this.#append(unit));
    this.#early = [];
  }

  #endMuxer() {
    const muxer = this.#muxer;
    this.#muxer = this.#source = null;
    this.#early = [];
    this.#sps = '';
    muxer?.destroy();
    this.element.replaceChildren(); // jMuxer's <source>, on an iPhone
  }

  #rebuild() {
    this.#endMuxer();
    this.#waiting = true;
    this.#hooks.needKey();
  }

  /**
   * How long the frame is to last, in whole milliseconds: until the next should come, measured from its own
   * capture time, so that rounding never adds up. After a hole the time line goes on without one: a hole in
   * it would have to be waited for.
   */
  #place(capture) {
    this.#cadence.add(capture);
    const usual = Math.max(1, this.#cadence.interval);
    let duration = Math.round(capture - this.#base + usual - this.#end);
    if (duration < usual / 3 || duration > usual * 3) {
      duration = Math.max(1, Math.round(usual));
      this.#base = capture - this.#end;
    }
    this.#frames.push({ from: this.#end, capture });
    this.#newest = { from: this.#end, arrived: performance.now() };
    this.#end += duration;
    return duration;
  }

  /** Report each frame that is shown, with the time at which it gets to the screen. */
  #follow() {
    const video = this.element;
    video.requestVideoFrameCallback?.((now, about) => {
      if (!this.#timer) return;
      this.#report(about.mediaTime * 1000, about.expectedDisplayTime - performance.now());
      this.#follow();
    });
  }

  /** At `ms` of the media time, in `delay` ms. */
  #report(ms, delay) {
    const capture = this.#captured(ms);
    if (capture && capture !== this.#reported) this.#hooks.shown(capture, localNow() + delay);
    this.#reported = capture;
  }

  /** Whose turn it is at this media time; forgets what was before. */
  #captured(ms) {
    while (this.#frames.length > 1 && this.#frames[1].from <= ms + 0.5) this.#frames.shift();
    return this.#frames[0]?.from <= ms + 0.5 ? this.#frames[0].capture : 0;
  }

  #starved() {
    // Each stop shows that the spare was too small for this network; it shrinks again in steer. Several in
    // a moment are one: the rest is the way back from it. A jump is ours.
    const now = performance.now();
    if (this.element.seeking || now - this.#starvedAt < STEER_MS * 10) return;
    this.#starvedAt = now;
    this.#spare = Math.min(SPARE_MOST_MS, this.#spare + 10);
  }

  #steer() {
    const video = this.element;
    const ranges = video.buffered;
    if (!this.#muxer || ranges.length === 0 || video.seeking) return;
    if (video.paused && !document.hidden) video.play().catch(() => {});
    this.#count();
    this.#trim();
    // Older browsers do not say when they show what, but their clock tells it roughly.
    if (!video.requestVideoFrameCallback) this.#report(video.currentTime * 1000, 0);
    this.#spare = Math.max(SPARE_LEAST_MS, this.#spare - 0.1);
    const wanted = this.#live() - this.#spare / 1000;
    const behind = wanted - video.currentTime;
    const most = performance.now() - this.#begun < NEW_MS ? JUMP_FIRST_S : JUMP_S;
    if (Math.abs(behind) > most) {
      video.currentTime = Math.max(ranges.start(ranges.length - 1), wanted);
      video.playbackRate = 1;
    } else {
      video.playbackRate = rate(behind);
    }
  }

  /**
   * Where on the time line it is now, in seconds, for who shows each frame as it arrives. The end of the
   * buffer would not do: it goes by steps of a frame.
   */
  #live() {
    const { from, arrived } = this.#newest;
    const since = Math.min(performance.now() - arrived, this.#end - from);
    return (from + since) / 1000;
  }

  #trim() {
    const buffer = this.#source?.readyState === 'open' && this.#source.sourceBuffers[0];
    if (!buffer || buffer.updating || buffer.buffered.length === 0) return;
    const over = this.element.currentTime - KEEP_S;
    if (over - buffer.buffered.start(0) > KEEP_S) buffer.remove(0, over);
  }

  #count() {
    const dropped = this.element.getVideoPlaybackQuality?.().droppedVideoFrames ?? 0;
    if (dropped > this.#dropped) this.#hooks.dropped(dropped - this.#dropped);
    this.#dropped = dropped;
  }
}

/** In steps, because each change costs the browser something; none is seen on a picture without sound. */
function rate(behind) {
  const size = Math.abs(behind);
  const change = behind > 0.1 ? 0.8 : size > 0.05 ? 0.2 : size > 0.015 ? 0.03 : 0;
  return 1 + Math.sign(behind) * change;
}
