// SPDX-License-Identifier: MIT
// The last two minutes of one figure as a line, drawn in the colours of the style sheet.

const POINTS = 120;

export class Plot {
  #canvas;
  #values = [];
  #least;

  /** `least`: the top of the scale is never below it, so that noise about nothing stays small. */
  constructor(canvas, least) {
    this.#canvas = canvas;
    this.#least = least;
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** null leaves a hole. The largest of those that are shown. */
  add(value) {
    this.#values.push(value);
    if (this.#values.length > POINTS) this.#values.shift();
    this.draw();
    return Math.max(...this.#values.map((v) => v ?? 0));
  }

  draw() {
    const canvas = this.#canvas;
    const scale = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * scale);
    const height = Math.round(canvas.clientHeight * scale);
    if (width === 0 || height === 0) return;
    canvas.width = width; // also clears it
    canvas.height = height;
    const context = canvas.getContext('2d');
    const style = getComputedStyle(canvas);
    context.strokeStyle = style.color;
    context.fillStyle = style.getPropertyValue('--plot-fill');
    context.lineWidth = 1.5 * scale;
    context.lineJoin = context.lineCap = 'round';
    for (const run of this.#runs(width, height, 2 * scale)) this.#paint(context, run, height);
  }

  /** Points of the line, in one array for each stretch without a hole. */
  #runs(width, height, margin) {
    const top = Math.max(this.#least, ...this.#values.map((v) => v ?? 0)) * 1.1;
    const step = (width - margin) / (POINTS - 1);
    const first = POINTS - this.#values.length;
    const runs = [];
    let run = null;
    this.#values.forEach((value, i) => {
      if (value === null) {
        run = null;
        return;
      }
      if (!run) runs.push((run = []));
      run.push([(first + i) * step, height - margin - (value / top) * (height - 2 * margin)]);
    });
    return runs;
  }

  #paint(context, run, height) {
    context.beginPath();
    run.forEach(([x, y], i) => (i === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
    context.stroke();
    context.lineTo(run.at(-1)[0], height);
    context.lineTo(run[0][0], height);
    context.fill();
  }
}
