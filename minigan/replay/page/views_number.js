// Two views of a run on single numbers: the samples with D's push, and D. A third is in views_map.js.

const GOLDEN = (Math.sqrt(5) - 1) / 2; // multiples of it spread evenly over [0, 1]
const ARROW = 0.09; // the longest arrow, as a share of the plot's width

class NumberView {
  static fits(run) {
    return run.header.form === "number";
  }

  constructor(run) {
    this.run = run;
    this.span = run.scene.span;
    this.real = Float64Array.from(run.scene.density);
    this.x = places(...this.span, this.real.length); // (K,)
  }

  /** D at x in frame k; NaN if D is not recorded. */
  dAt(k, x) {
    const learned = frameOf(this.run, "learned", k);
    return learned ? between(learned, ...this.span, x) : NaN;
  }

  /** The lines of the tip of sample i. */
  linesOf(moment, i) {
    const x = samplesOf(this.run, moment)[i];
    const lines = [t("tipSample", { x: number(x) })];
    const d = this.dAt(moment.k, x);
    if (Number.isFinite(d)) lines.push(saysOf(this.run, d));
    const push = frameOf(this.run, "push", moment.k);
    if (push && Number.isFinite(push[i])) lines.push(t("tipPush", { push: number(push[i]) }));
    return lines;
  }

  /** The tip of the sample at the pointer, or null. */
  sampleTip(moment, x, y) {
    const i = nearest(this.spots, x, y, REACH);
    if (i < 0) return null;
    return { lines: this.linesOf(moment, i), mark: { x: this.spots[2 * i], y: this.spots[2 * i + 1] } };
  }
}

/** Both densities; below them D's colours along x, and on these the samples with their arrows. */
class DensityView extends NumberView {
  title = "viewDensity";
  aspect = 0.8;

  /** The axis ends above both densities, but lets narrow peaks of G be cut off. */
  top() {
    return remember(this, "top", () => {
      const real = Math.max(...this.real);
      const made = has(this.run, "density") ? usualRange(this.run, "density")[1] : 0;
      return 1.08 * Math.max(real, Math.min(made, 2 * real));
    });
  }

  draw(pen, moment) {
    const { run } = this;
    const { k } = moment;
    const { colours, size } = pen;
    const density = frameOf(run, "density", k);
    const learned = frameOf(run, "learned", k);
    const push = frameOf(run, "push", k);
    pen.begin("", () => {
      const entries = [["line", colours.real, t("legendReal")]];
      if (density) entries.push(["area", colours.fake, t("legendDensity")]);
      entries.push(["dot", colours.fake, t("legendSamples")]);
      if (push) entries.push(["arrow", colours.ink, t("legendPush")]);
      if (learned) entries.push(["shades", null, t("legendShades")]);
      const whole = Plot.below(pen, pen.legend(entries), this.span, [0, 1]);
      const { left, width, top } = whole;
      const height = 0.4 * whole.height; // of the strip
      const upper = { left, width, top, height: whole.height - height - 0.7 * size };
      this.plot = new Plot(pen, upper, this.span, [0, this.top()]);
      this.plot.yAxis(t("axisDensity"));
      this.strip = new Plot(pen, { left, width, top: whole.bottom - height, height }, this.span, [0, 1]);
      this.strip.xAxis(t("axisX"), false);
    });
    const { plot, strip } = this;
    plot.clip(() => {
      if (density) {
        plot.area(this.x, density, colours.fake, 0.5);
        plot.curve(this.x, density, colours.fake, { width: 1.5 });
      }
      plot.curve(this.x, this.real, colours.real);
    });
    if (learned) {
      const { middle, reach } = remember(this, "colours", () => coloursOf(run, "learned"));
      strip.heat(learned, 1, learned.length, middle(learned), reach);
    }
    this.spots = this.spread(samplesOf(run, moment));
    strip.clip(() => {
      if (push) {
        const moves = pairs(push, push.map(() => 0));
        const from = this.spread(pushedOf(run, k));
        strip.arrows(from, moves, colours.ink, ARROW * strip.width, { most: strip.height / 1.4 });
        strip.trails(from, this.spots, colours.fake);
      }
      strip.dots(this.spots, colours.fake);
    });
  }

  /** The samples' places in the strip, each at a height of its own. */
  spread(samples) {
    const { strip } = this;
    return pairs(
      samples.map((x) => strip.px(x)),
      samples.map((_, i) => strip.py(0.08 + 0.84 * ((i * GOLDEN) % 1))),
    );
  }

  hover(pen, moment, x, y) {
    const found = this.sampleTip(moment, x, y);
    if (found) return found;
    const place = this.plot.x(x);
    if (this.strip.holds(x, y)) {
      const d = this.dAt(moment.k, place);
      return Number.isFinite(d) ? { lines: [t("tipX", { x: number(place) }), saysOf(this.run, d)] } : null;
    }
    if (!this.plot.holds(x, y)) return null;
    const real = between(this.real, ...this.span, place);
    const lines = [t("tipX", { x: number(place) }), t("tipReal", { p: number(real) })];
    const density = frameOf(this.run, "density", moment.k);
    if (density) lines.push(t("tipGenerated", { q: number(between(density, ...this.span, place)) }));
    return { lines, mark: { x, y: this.plot.py(real) } };
  }

  describe({ k }) {
    const { run } = this;
    return t("describeDensity", {
      step: run.steps[k],
      mean: number(run.value("mean", k)),
      std: number(run.value("std", k)),
      realMean: number(run.scene.mean),
      realStd: number(run.scene.std),
    });
  }
}

/** D and the best D along x, over both densities; the samples lie on D's curve. */
class DiscriminatorView extends NumberView {
  title = "viewDiscriminator";
  aspect = 0.8;

  static fits(run) {
    return NumberView.fits(run) && has(run, "learned");
  }

  range() {
    return remember(this, "range", () => {
      if (this.run.scene.output === "probability") return [-0.03, 1.03];
      const ends = usualRange(this.run, "learned");
      const targets = this.run.scene.targets ?? ends;
      const [low, high] = [Math.min(...ends, ...targets), Math.max(...ends, ...targets)];
      const margin = 0.06 * Math.max(high - low, 1e-6);
      return [low - margin, high + margin];
    });
  }

  draw(pen, moment) {
    const { run, x } = this;
    const { k } = moment;
    const { colours } = pen;
    const learned = frameOf(run, "learned", k);
    const optimal = moment.options.optimal ? frameOf(run, "optimal", k) : null;
    const density = frameOf(run, "density", k);
    const probable = run.scene.output === "probability";
    const densityArea = (density, colour, alpha) => {
      const { plot } = this;
      const share = (0.45 * plot.height) / Math.max(...this.real); // pixels for a density of 1
      plot.area(x, density.map((p) => plot.y(plot.bottom - share * p)), colour, alpha);
    };
    pen.begin(optimal ? "optimal" : "", () => {
      const entries = [["line", colours.d, nameOfD(run)]];
      if (optimal) entries.push(["dashes", colours.optimal, t("legendOptimal")]);
      entries.push(["dot", colours.fake, t("legendSamples")]);
      this.plot = Plot.below(pen, pen.legend(entries), this.span, this.range());
      this.plot.axes(t(run.scene.pack > 1 ? "axisXPack" : "axisX"), t(probable ? "axisProbability" : "axisScore"));
      this.plot.clip(() => densityArea(this.real, colours.real, 0.13));
    });
    const { plot } = this;
    this.spots = this.onCurve(learned, samplesOf(run, moment));
    plot.clip(() => {
      if (density) densityArea(density, colours.fake, 0.2);
      if (optimal) plot.curve(x, optimal, colours.optimal, { width: 2, dash: DASHES });
      plot.curve(x, learned, colours.d, { width: 3 });
      const push = frameOf(run, "push", k);
      if (push) {
        const moves = pairs(push, push.map(() => 0));
        plot.arrows(this.onCurve(learned, pushedOf(run, k)), moves, colours.ink, ARROW * plot.width, { most: 60 });
      }
      plot.dots(this.spots, colours.fake);
    });
  }

  /** The samples' places on the curve of D. */
  onCurve(learned, samples) {
    const { plot } = this;
    const [low, high] = this.span;
    return pairs(
      samples.map((x) => plot.px(x)),
      samples.map((x) => plot.py(between(learned, low, high, x))),
    );
  }

  hover(pen, moment, x, y) {
    const found = this.sampleTip(moment, x, y);
    if (found) return found;
    if (!this.plot.holds(x, y)) return null;
    const place = this.plot.x(x);
    const d = this.dAt(moment.k, place);
    const lines = [t("tipX", { x: number(place) }), saysOf(this.run, d)];
    const optimal = moment.options.optimal && frameOf(this.run, "optimal", moment.k);
    if (optimal) lines.push(t("tipOptimal", { d: number(between(optimal, ...this.span, place)) }));
    return { lines, mark: { x, y: this.plot.py(d) } };
  }

  describe({ k }) {
    const { run } = this;
    const [low, high] = [run.scene.mean - run.scene.std, run.scene.mean + run.scene.std];
    return t("describeDiscriminator", {
      step: run.steps[k],
      d: number(this.dAt(k, run.scene.mean)),
      mean: number(run.scene.mean),
      low: number(this.dAt(k, low)),
      high: number(this.dAt(k, high)),
    });
  }
}
