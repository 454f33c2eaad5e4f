// Three views of a run on single numbers: the samples, D, and G as a map of its noise.

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
    pen.begin();
    const entries = [["line", colours.real, t("legendReal")]];
    if (density) entries.push(["area", colours.fake, t("legendDensity")]);
    entries.push(["dot", colours.fake, t("legendSamples")]);
    if (push) entries.push(["arrow", colours.ink, t("legendPush")]);
    if (learned) entries.push(["shades", null, t("legendShades")]);
    const whole = Plot.below(pen, pen.legend(entries), this.span, [0, 1]);
    const height = 0.4 * whole.height; // of the strip
    const { left, width } = whole;

    const upper = { left, width, top: whole.top, height: whole.height - height - 0.7 * size };
    this.plot = new Plot(pen, upper, this.span, [0, this.top()]);
    this.plot.yAxis(t("axisDensity"));
    this.plot.clip(() => {
      if (density) {
        this.plot.area(this.x, density, colours.fake, 0.5);
        this.plot.curve(this.x, density, colours.fake, { width: 1.5 });
      }
      this.plot.curve(this.x, this.real, colours.real);
    });

    const lower = { left, width, top: whole.bottom - height, height };
    this.strip = new Plot(pen, lower, this.span, [0, 1]);
    if (learned) {
      const { middle, reach } = remember(this, "colours", () => coloursOf(run, "learned"));
      this.strip.heat(learned, 1, learned.length, middle(learned), reach);
    }
    this.strip.xAxis(t("axisX"), false);
    this.spots = this.spread(samplesOf(run, moment));
    this.strip.clip(() => {
      if (push) {
        const moves = new Float32Array(2 * push.length);
        for (let i = 0; i < push.length; i++) moves[2 * i] = push[i];
        const from = this.spread(pushedOf(run, k));
        this.strip.arrows(from, moves, colours.ink, ARROW * width);
        this.strip.trails(from, this.spots, colours.fake);
      }
      this.strip.dots(this.spots, colours.fake);
    });
  }

  /** The samples' places in the strip, each at a height of its own. */
  spread(samples) {
    const spots = new Float32Array(2 * samples.length);
    for (let i = 0; i < samples.length; i++) {
      spots[2 * i] = this.strip.px(samples[i]);
      spots[2 * i + 1] = this.strip.py(0.08 + 0.84 * ((i * GOLDEN) % 1));
    }
    return spots;
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
    pen.begin();
    const entries = [["line", colours.d, nameOfD(run)]];
    if (optimal) entries.push(["dashes", colours.optimal, t("legendOptimal")]);
    entries.push(["dot", colours.fake, t("legendSamples")]);
    this.plot = Plot.below(pen, pen.legend(entries), this.span, this.range());
    const { plot } = this;
    plot.axes(t(run.scene.pack > 1 ? "axisXPack" : "axisX"), t(probable ? "axisProbability" : "axisScore"));
    const share = (0.45 * plot.height) / Math.max(...this.real); // of the densities, in pixels
    const samples = samplesOf(run, moment);
    this.spots = this.onCurve(plot, k, samples);
    plot.clip(() => {
      const lift = (density_) => density_.map((p) => plot.y(plot.bottom - share * p));
      plot.area(x, lift(this.real), colours.real, 0.13);
      if (density) plot.area(x, lift(density), colours.fake, 0.2);
      if (optimal) plot.curve(x, optimal, colours.optimal, { width: 2, dash: DASHES });
      plot.curve(x, learned, colours.d, { width: 3 });
      const push = frameOf(run, "push", k);
      if (push) {
        const moves = new Float32Array(2 * push.length);
        for (let i = 0; i < push.length; i++) moves[2 * i] = push[i];
        plot.arrows(this.onCurve(plot, k, pushedOf(run, k)), moves, colours.ink, ARROW * plot.width, { most: 60 });
      }
      plot.dots(this.spots, colours.fake);
    });
  }

  onCurve(plot, k, samples) {
    const spots = new Float32Array(2 * samples.length);
    for (let i = 0; i < samples.length; i++) {
      spots[2 * i] = plot.px(samples[i]);
      spots[2 * i + 1] = plot.py(this.dAt(k, samples[i]));
    }
    return spots;
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

/** G as a curve from its noise z to x, against the map that would make the data exactly. */
class MapView extends NumberView {
  title = "viewMap";
  aspect = 0.8;

  static fits(run) {
    return NumberView.fits(run) && has(run, "map");
  }

  /** The rising or the falling exact map: that which G is nearer to in the end. */
  exact() {
    return remember(this, "exact", () => {
      const { scene, steps } = this.run;
      const made = frameOf(this.run, "map", steps.length - 1);
      const off = (map) => map.reduce((sum, x, i) => sum + Math.abs(x - made[i]), 0);
      if (!scene.exact_falling) return scene.exact;
      return off(scene.exact) <= off(scene.exact_falling) ? scene.exact : scene.exact_falling;
    });
  }

  draw(pen, moment) {
    const { run } = this;
    const { scene } = run;
    const { colours } = pen;
    const push = scene.noise ? frameOf(run, "push", moment.k) : null;
    pen.begin();
    const entries = [
      ["line", colours.real, t("legendExact")],
      ["line", colours.fake, t("legendMap")],
    ];
    if (scene.noise) entries.push(["dot", colours.fake, t("legendSamples")]);
    if (push) entries.push(["arrow", colours.ink, t("legendPush")]);
    const ends = [scene.z[0], scene.z[scene.z.length - 1]];
    this.plot = Plot.below(pen, pen.legend(entries), ends, this.span);
    const { plot } = this;
    plot.axes(t("axisZ"), t("axisX"));
    this.spots = this.above(samplesOf(run, moment));
    plot.clip(() => {
      plot.curve(scene.z, this.exact(), colours.real);
      if (push) {
        const moves = new Float32Array(2 * push.length);
        for (let i = 0; i < push.length; i++) moves[2 * i + 1] = push[i];
        plot.arrows(this.above(pushedOf(run, moment.k)), moves, colours.ink, 1.6 * ARROW * plot.height, { most: 100 });
      }
      plot.curve(scene.z, frameOf(run, "map", moment.k), colours.fake, { width: 2 });
      plot.dots(this.spots, colours.fake);
    });
  }

  /** The samples' places, each above its noise; none if the noise is not recorded. */
  above(samples) {
    const { noise } = this.run.scene;
    const spots = new Float32Array(noise ? 2 * samples.length : 0);
    for (let i = 0; 2 * i < spots.length; i++) {
      spots[2 * i] = this.plot.px(noise[i]);
      spots[2 * i + 1] = this.plot.py(samples[i]);
    }
    return spots;
  }

  hover(pen, moment, x, y) {
    const found = this.sampleTip(moment, x, y);
    if (found) {
      const z = this.plot.x(found.mark.x);
      return { lines: [t("tipZ", { z: number(z) }), ...found.lines], mark: found.mark };
    }
    if (!this.plot.holds(x, y)) return null;
    const { z } = this.run.scene;
    const place = this.plot.x(x);
    const i = Math.max(z.findIndex((value) => value >= place), 1);
    const share = (place - z[i - 1]) / (z[i] - z[i - 1]);
    const at = (map) => map[i - 1] + share * (map[i] - map[i - 1]);
    const made = at(frameOf(this.run, "map", moment.k));
    const lines = [
      t("tipZ", { z: number(place) }),
      t("tipMap", { x: number(made) }),
      t("tipExact", { x: number(at(this.exact())) }),
    ];
    return { lines, mark: { x, y: this.plot.py(made) } };
  }

  describe({ k }) {
    const made = frameOf(this.run, "map", k);
    const exact = this.exact();
    const off = made.reduce((sum, x, i) => sum + Math.abs(x - exact[i]), 0) / made.length;
    return t("describeMap", { step: this.run.steps[k], off: number(off) });
  }
}
