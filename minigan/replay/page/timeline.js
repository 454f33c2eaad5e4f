// The time line: the losses of each run over all frames, with the present step as a line in it.
//
// All frames are equally far apart. There are more of them early in a run, which has most to show.

const MOST_RATIO = 20; // a logarithmic axis if largest / smallest loss is above this
const OUTLIERS = 0.01; // the share of losses at either end that may lie outside
const TEXT = 12.5; // pixels, at most

/** The steps 0, 1, 2, 5, 10, 20, 50 ... up to `last`. */
function roundSteps(last) {
  const steps = [0];
  for (let power = 1; power <= last; power *= 10) {
    steps.push(...[1, 2, 5].map((factor) => factor * power).filter((step) => step <= last));
  }
  return steps;
}

/** `page` has clock, tip, reports, redraw(panel), momentOf(run), controls. */
class Timeline {
  constructor(page) {
    this.page = page;
    this.canvas = document.getElementById("timeline");
    document.documentElement.style.setProperty("--strips", page.runs.length);
    this.at = null; // where the pointer is
    this.places = page.runs.map((run) => run.steps.map((step) => this.placeOf(step)));
    this.ranges = page.runs.map((run) => this.rangeOf(run));
    this.listen();
  }

  start() {
    this.pen = new Pen(this.canvas, null, TEXT);
    new ResizeObserver(() => this.renew()).observe(this.canvas);
  }

  /** Draw everything again: the size, the language or the theme has changed. */
  renew() {
    this.pen.resize();
    this.page.redraw(this);
  }

  listen() {
    const { canvas } = this;
    let scrubbing = false;
    canvas.addEventListener("pointerdown", (event) => {
      scrubbing = true;
      canvas.setPointerCapture(event.pointerId);
      this.scrub(event.offsetX);
    });
    canvas.addEventListener("pointermove", (event) => {
      this.at = { x: event.offsetX, y: event.offsetY };
      if (scrubbing) this.scrub(event.offsetX);
      this.page.redraw(this);
    });
    const end = () => {
      if (scrubbing) this.page.announce();
      scrubbing = false;
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", () => this.left());
  }

  left() {
    if (!this.at) return;
    this.at = null;
    this.page.tip.close(this);
    this.page.redraw(this);
  }

  /** Go to the frame at a place of the canvas. */
  scrub(x) {
    const { clock } = this.page;
    const step = this.stepAt(x);
    clock.go(clock.places.findLastIndex((place) => place.step === step));
  }

  /** The step of the frame nearest to a place of the canvas. */
  stepAt(x) {
    const { steps } = this.page.clock;
    const index = Math.round(this.plots[0].x(x));
    return steps[Math.min(Math.max(index, 0), steps.length - 1)];
  }

  /** Where a step is on the axis, in frames; between two frames in proportion. */
  placeOf(step) {
    const { steps } = this.page.clock;
    const i = Math.max(latest(steps, step), 0);
    if (i === steps.length - 1) return i;
    return i + Math.max(step - steps[i], 0) / (steps[i + 1] - steps[i]);
  }

  /** The losses' range without outliers: {low, high, log}. */
  rangeOf(run) {
    const all = run.players.flatMap((name) => run.values[name] ?? []);
    const sorted = Float64Array.from(all.filter((value) => Number.isFinite(value))).sort();
    if (!sorted.length) return { low: 0, high: 1, log: false };
    const end = (q) => sorted[Math.round(q * (sorted.length - 1))];
    let [low, high] = [end(OUTLIERS), end(1 - OUTLIERS)];
    if (run.undecided !== null) [low, high] = [Math.min(low, run.undecided), Math.max(high, run.undecided)];
    const log = low > 0 && high > MOST_RATIO * low;
    if (log) [low, high] = [Math.log10(low), Math.log10(high)];
    const margin = 0.06 * (high - low) || 0.5;
    return { low: low - margin, high: high + margin, log };
  }

  draw() {
    const { pen, page } = this;
    pen.begin("", () => this.drawAll());
    const { step, half } = page.clock.place;
    const place = this.placeOf(step) - (half === "d" ? 0.5 : 0);
    for (const [i, plot] of this.plots.entries()) {
      plot.rules([[plot.px(place), plot.top, plot.px(place), plot.bottom]], { colour: pen.colours.ink });
      this.drawDots(plot, i);
    }
    this.describe();
    this.openTip();
  }

  /** The losses of the frame that each run shows. */
  drawDots(plot, i) {
    const run = this.page.runs[i];
    const { ctx, colours } = this.pen;
    const { k } = this.page.momentOf(run);
    if (k < 0) return;
    for (const [name, [colour]] of Object.entries(looksOf(run))) {
      const y = plot.py(this.scaled(i, run.value(name, k)));
      if (!(y >= plot.top && y <= plot.bottom)) continue; // an outlier, or NaN
      this.pen.dot(plot.px(this.places[i][k]), y, 4.5);
      ctx.fillStyle = colours[colour];
      ctx.strokeStyle = colours.background;
      ctx.lineWidth = 1;
      ctx.fill();
      ctx.stroke();
    }
  }

  /** A loss on the axis of run i. */
  scaled(i, value) {
    return this.ranges[i].log ? Math.log10(value) : value;
  }

  /** All that does not move. */
  drawAll() {
    const { pen, page } = this;
    const { runs, clock } = page;
    const foot = 1.9 * pen.size;
    const height = (pen.height - foot) / runs.length;
    this.plots = runs.map((run, i) => {
      const { low, high } = this.ranges[i];
      const box = { left: 4.3 * pen.size, width: pen.width - 5.5 * pen.size, top: i * height + 8, height: height - 14 };
      return new Plot(pen, box, [0, Math.max(clock.steps.length - 1, 1)], [low, high]);
    });
    this.plots.forEach((plot, i) => this.drawRun(plot, i));
    this.drawSteps(this.plots[runs.length - 1]);
  }

  drawRun(plot, i) {
    const { pen } = this;
    const run = this.page.runs[i];
    if (this.ranges[i].log) this.powers(plot);
    else plot.yAxis("");
    plot.clip(() => {
      if (run.undecided !== null) {
        const y = plot.py(this.scaled(i, run.undecided));
        plot.rules([[plot.left, y, plot.right, y]], { colour: pen.colours.muted, dash: [2, 4] });
      }
      for (const [name, [colour, dash]] of Object.entries(looksOf(run))) {
        const values = (run.values[name] ?? []).map((value) => this.scaled(i, value ?? NaN));
        plot.curve(this.places[i], values, pen.colours[colour], { width: 1.4, dash });
      }
    });
    this.drawFailures(plot, i);
    const text = this.page.runs.length > 1 ? run.name : t("losses");
    pen.text(text, plot.right - 4, plot.top + 0.7 * pen.size, { align: "right", colour: pen.colours.muted });
  }

  /** A bar along the top where the health check sees a failure. */
  drawFailures(plot, i) {
    const run = this.page.runs[i];
    const { ctx } = this.pen;
    ctx.fillStyle = getComputedStyle(this.canvas).getPropertyValue("--warn");
    const changes = run.health.filter(({ step }) => step <= run.steps[run.steps.length - 1]);
    changes.forEach(({ step, failures }, n) => {
      if (!failures.length) return;
      const end = changes[n + 1]?.step ?? run.steps[run.steps.length - 1];
      const [x0, x1] = [plot.px(this.placeOf(step)), plot.px(this.placeOf(end))];
      ctx.fillRect(x0, plot.top - 5, Math.max(x1 - x0, 2), 4);
    });
  }

  /** The axis of a plot of logarithms: a line at each power of ten. */
  powers(plot) {
    const { pen } = this;
    const [low, high] = plot.yRange;
    const every = Math.max(1, Math.ceil((high - low) / (plot.height / (1.6 * pen.size))));
    for (let power = Math.ceil(low / every) * every; power <= high; power += every) {
      plot.rules([[plot.left, plot.py(power), plot.right, plot.py(power)]]);
      const text = power < -3 || power > 4 ? `1e${power}`.replace("-", "−") : String(10 ** power);
      pen.text(text, plot.left - 0.45 * pen.size, plot.py(power), { colour: pen.colours.muted, align: "right" });
    }
  }

  /** Steps below the last plot, where there is room for them. */
  drawSteps(plot) {
    const { pen } = this;
    const { muted } = pen.colours;
    const last = this.page.clock.lastStep;
    plot.rules([[plot.left, plot.bottom, plot.right, plot.bottom]], { colour: muted });
    const y = plot.bottom + 0.9 * pen.size;
    const room = (step) => 0.5 * pen.textWidth(count(step)) + 0.7 * pen.size;
    const limit = plot.px(this.placeOf(last)) - room(last);
    let end = -Infinity; // of the text before
    for (const step of roundSteps(last)) {
      const x = plot.px(this.placeOf(step));
      if (step === last || x - room(step) < end || x + room(step) > limit) continue;
      pen.text(count(step), x, y, { colour: muted, align: "center" });
      end = x + room(step);
    }
    const x = Math.min(plot.px(this.placeOf(last)), pen.width - 0.5 * pen.textWidth(count(last)));
    pen.text(count(last), x, y, { colour: muted, align: "center" });
  }

  /** The losses at the pointer. */
  openTip() {
    if (!this.at) return;
    const { runs, reports, tip } = this.page;
    const step = this.stepAt(this.at.x);
    const lines = [t("stepShort", { step: count(step) })];
    runs.forEach((run, i) => {
      const k = latest(run.steps, step);
      if (k < 0) return;
      lines.push((runs.length > 1 ? `${run.name}: ` : "") + reports[i].words(k));
      for (const failure of run.failures(step)) lines.push(`! ${healthWords(failure.name).text}`);
    });
    tip.open(this, lines, this.at.x, this.at.y);
  }

  describe() {
    const { clock, runs, reports } = this.page;
    if (clock.playing) return;
    const words = runs.map((run, i) => {
      const { k } = this.page.momentOf(run);
      const values = k < 0 ? t("late", { step: count(run.steps[0]) }) : reports[i].words(k);
      return t("timelineLabel", { name: run.name, step: count(clock.place.step), values });
    });
    const label = words.join(" ");
    if (this.canvas.getAttribute("aria-label") !== label) this.canvas.setAttribute("aria-label", label);
  }
}
