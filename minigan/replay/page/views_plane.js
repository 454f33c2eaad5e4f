// Two views of a run on points in the plane: D's field with G's samples, and the noise's grid as G bends it.

const NEAR = 3; // standard deviations from a mode's centre, within which a sample has found it
const DENSITIES = 6; // shades of the warped grid's cells
const ENDS = 4.5; // text sizes left and right of the bar of colours, for values

class PlaneView {
  aspect = 1.12;

  static fits(run) {
    return ["plane", "vector"].includes(run.header.form) && has(run, "after");
  }

  constructor(run) {
    this.run = run;
    this.layer = new Layer(); // of the real points
    [this.xSpan, this.ySpan] = run.scene.span;
    this.real = run.scene.real.flat(); // [x0, y0, x1, y1, ...]
  }

  /** The square plot with its axes, below the legend; there is room for two lines of text below it. */
  square(pen, entries) {
    const shape = { foot: 2.9 * pen.size, square: true };
    this.plot = Plot.below(pen, pen.legend(entries), this.xSpan, this.ySpan, shape);
    const plane = this.run.header.form === "plane";
    this.plot.axes(...(plane ? ["x", "y"] : [t("axisFirst"), t("axisSecond")]), { lines: false });
  }

  drawReal(pen) {
    const look = { radius: 0.8 * pen.radius, alpha: 0.45, halo: false };
    this.layer.draw(this.plot, this.spotsOf(this.real), { ...look, colour: pen.colours.real }, true);
  }

  /** Pixel places of points [x0, y0, x1, y1, ...]. */
  spotsOf(points) {
    const { plot } = this;
    const spots = new Float32Array(points.length);
    for (let i = 0; i < points.length; i += 2) {
      spots[i] = plot.px(points[i]);
      spots[i + 1] = plot.py(points[i + 1]);
    }
    return spots;
  }
}

/** D as colours with its line of doubt, real points, the modes, G's samples and where D pushes them. */
class FieldView extends PlaneView {
  get title() {
    return has(this.run, "field") ? "viewField" : "viewPoints";
  }

  draw(pen, moment) {
    const { run } = this;
    const { k } = moment;
    const { colours } = pen;
    this.name = moment.options.optimal && has(run, "optimal") ? "optimal" : "field";
    const field = frameOf(run, this.name, k);
    const push = frameOf(run, "push", k);
    const samples = samplesOf(run, moment);
    pen.begin(this.name, () => {
      const entries = [["dot", colours.real, t("legendReal")], ["dot", colours.fake, t("legendSamples")]];
      if (push) entries.push(["arrow", colours.ink, t("legendPush")]);
      if (run.scene.modes) entries.push(["ring", colours.real, t("legendModes")]);
      this.square(pen, entries);
      if (field) this.drawBar(pen);
    });
    const { plot } = this;
    const scale = field && remember(this, "colours", () => coloursOf(run, "field"));
    const middle = field && scale.middle(field);
    plot.clip(() => {
      if (field) {
        const [rows, columns] = run.array(this.name).shape;
        plot.heat(field, rows, columns, middle, scale.reach);
        plot.contour(field, rows, columns, middle, colours.muted);
      }
      this.drawReal(pen);
      this.drawModes(pen, samples);
      this.spots = this.spotsOf(samples);
      if (push) {
        const from = this.spotsOf(pushedOf(run, k));
        plot.arrows(from, push, colours.ink, ARROW * plot.width);
        plot.trails(from, this.spots, colours.fake);
      }
      plot.dots(this.spots, colours.fake);
    });
    if (field) this.drawEnds(pen, number(middle - scale.reach), number(middle + scale.reach));
  }

  /** A ring of 3 standard deviations around each mode, filled if a sample is within. */
  drawModes(pen, samples) {
    const { modes, std } = this.run.scene;
    if (!modes) return;
    const { ctx } = pen;
    const radius = Math.max(NEAR * std * this.plot.xScale, 2 * pen.radius + 4);
    this.counts = this.countsOf(samples);
    for (const found of [true, false]) {
      ctx.beginPath();
      modes.forEach(([x, y], i) => {
        if (this.counts[i] > 0 !== found) return;
        ctx.moveTo(this.plot.px(x) + radius, this.plot.py(y));
        ctx.arc(this.plot.px(x), this.plot.py(y), radius, 0, 2 * Math.PI);
      });
      ctx.fillStyle = ctx.strokeStyle = pen.colours.real;
      ctx.globalAlpha = 0.3;
      if (found) ctx.fill();
      ctx.globalAlpha = 1;
      ctx.lineWidth = found ? 2 : 1.4;
      ctx.setLineDash(found ? [] : [3, 3]);
      ctx.stroke();
    }
    ctx.setLineDash([]);
    ctx.globalAlpha = 1;
  }

  /** For each mode, how many of the samples are nearest to it and within 3 standard deviations. */
  countsOf(samples) {
    const { modes, std } = this.run.scene;
    const counts = new Int32Array(modes.length);
    const centres = modes.flat();
    for (let i = 0; i < samples.length; i += 2) {
      const mode = nearest(centres, samples[i], samples[i + 1], NEAR * std);
      if (mode >= 0) counts[mode]++;
    }
    return counts;
  }

  /** What the colours mean, below the plot. */
  drawBar(pen) {
    const { ctx, size } = pen;
    const { left, width, bottom } = this.plot;
    const y = bottom + 3.0 * size;
    const each = (width - 2 * ENDS * size) / 64;
    for (let i = 0; i < 64; i++) {
      ctx.fillStyle = pen.shadeColour(Math.round((i / 63) * (SHADES - 1)));
      ctx.fillRect(left + ENDS * size + i * each, y, each + 0.5, 0.7 * size);
    }
    const probable = this.run.scene.output === "probability";
    const text = this.name === "optimal" ? t("legendOptimal") : t(probable ? "axisProbability" : "axisScore");
    pen.text(text, left + width / 2, y + 1.6 * size, { align: "center" });
  }

  /** The values at the ends of the bar. */
  drawEnds(pen, low, high) {
    const { size } = pen;
    const { left, right, bottom } = this.plot;
    const colour = pen.colours.muted;
    const [y, room] = [bottom + 3.35 * size, (ENDS - 0.4) * size];
    pen.text(low, left + room, y, { colour, align: "right" });
    pen.text(high, right - room, y, { colour });
  }

  /** The field at a point, linear in each cell; NaN outside. */
  dAt(k, x, y) {
    if (!has(this.run, this.name)) return NaN;
    const [rows, columns] = this.run.array(this.name).shape;
    const values = this.run.array(this.name).at(k);
    const row = (r) => between(values.subarray(r * columns, (r + 1) * columns), ...this.xSpan, x);
    const [low, high] = this.ySpan;
    const at = ((y - low) / (high - low)) * (rows - 1);
    if (!(at >= 0 && at <= rows - 1)) return NaN;
    const r = Math.min(Math.floor(at), rows - 2);
    return row(r) + (at - r) * (row(r + 1) - row(r));
  }

  hover(pen, moment, x, y) {
    if (!this.plot.holds(x, y)) return null;
    const { run, spots } = this;
    const i = nearest(spots, x, y, REACH);
    const point = i < 0 ? [this.plot.x(x), this.plot.y(y)] : samplesOf(run, moment).subarray(2 * i, 2 * i + 2);
    const lines = [t(i < 0 ? "tipPlace" : "tipPoint", { x: number(point[0]), y: number(point[1]) })];
    const d = this.dAt(moment.k, ...point);
    const best = this.name === "optimal";
    if (Number.isFinite(d)) lines.push(best ? t("tipOptimal", { d: number(d) }) : saysOf(run, d));
    const push = i < 0 ? null : frameOf(run, "push", moment.k);
    if (push && Number.isFinite(push[2 * i])) {
      lines.push(t("tipPushPoint", { x: number(push[2 * i]), y: number(push[2 * i + 1]) }));
    }
    const mode = run.scene.modes ? nearest(this.spotsOf(run.scene.modes.flat()), x, y, REACH) : -1;
    if (mode >= 0) lines.push(t("tipMode", { count: this.counts[mode] }));
    return { lines, mark: i < 0 ? { x, y } : { x: spots[2 * i], y: spots[2 * i + 1] } };
  }

  describe(moment) {
    const { run } = this;
    const step = run.steps[moment.k];
    const samples = samplesOf(run, moment);
    if (!run.scene.modes) return t("describePoints", { step, n: samples.length / 2 });
    const counts = this.countsOf(samples);
    const near = counts.reduce((sum, count) => sum + count, 0);
    return t("describeModes", {
      step,
      found: counts.filter((count) => count > 0).length,
      modes: counts.length,
      share: Math.round((200 * near) / samples.length),
    });
  }
}

/**
 * Lines of constant noise, in both directions, as G bends them. A cell is darker where it is smaller:
 * all cells are equally likely, so that is where samples are dense.
 */
class WarpView extends PlaneView {
  title = "viewWarp";

  static fits(run) {
    return PlaneView.fits(run) && has(run, "grid");
  }

  draw(pen, moment) {
    const { run } = this;
    const { colours } = pen;
    const grid = run.array("grid").at(moment.k); // (2, lines, along, 2), flat
    const [, lines, along] = run.array("grid").shape;
    pen.begin("", () => {
      this.square(pen, [
        ["dot", colours.real, t("legendReal")],
        ["line", colours.fake, t("legendFirst")],
        ["line", colours.d, t("legendSecond")],
      ]);
      this.drawReal(pen);
      const { left, width, bottom } = this.plot;
      pen.text(t("warpCells"), left + width / 2, bottom + 3.6 * pen.size, { align: "center", colour: colours.muted });
    });
    const { plot } = this;
    plot.clip(() => {
      this.drawCells(grid, lines, along, colours.fake);
      [colours.fake, colours.d].forEach((colour, way) => {
        pen.ctx.strokeStyle = colour;
        pen.ctx.lineWidth = 1; // of one pixel: these are drawn much faster
        pen.ctx.beginPath();
        for (let line = 0; line < lines; line++) {
          const from = 2 * along * (way * lines + line);
          plot.pathThrough(grid.subarray(from, from + 2 * along));
        }
        pen.ctx.stroke();
      });
    });
  }

  /** The cells between the lines of the first direction, in a few shades: one path for each. */
  drawCells(grid, lines, along, colour) {
    const { ctx } = this.plot;
    const spots = this.spotsOf(grid.subarray(0, 2 * lines * along));
    const usual = (this.plot.width * this.plot.height) / ((lines - 1) * (along - 1)); // a cell's pixels
    const paths = Array.from({ length: DENSITIES }, () => new Path2D());
    for (let line = 0; line + 1 < lines; line++) {
      for (let i = 0; i + 1 < along; i++) {
        const a = 2 * (line * along + i);
        const [b, c, d] = [a + 2, a + 2 * along + 2, a + 2 * along]; // around the cell
        const across = (spots[c] - spots[a]) * (spots[d + 1] - spots[b + 1]);
        const area = (across - (spots[d] - spots[b]) * (spots[c + 1] - spots[a + 1])) / 2; // signed
        if (!Number.isFinite(area)) continue;
        const density = usual / Math.max(Math.abs(area), 0.02 * usual); // 1 to 50: how much denser than everywhere
        const shade = Math.floor((Math.log(density) / Math.log(50)) * DENSITIES);
        const path = paths[Math.min(Math.max(shade, 0), DENSITIES - 1)];
        const [first, last] = area < 0 ? [d, b] : [b, d]; // all turn the same way: overlaps are no holes
        path.moveTo(spots[a], spots[a + 1]);
        path.lineTo(spots[first], spots[first + 1]);
        path.lineTo(spots[c], spots[c + 1]);
        path.lineTo(spots[last], spots[last + 1]);
      }
    }
    ctx.fillStyle = colour;
    paths.forEach((path, shade) => {
      ctx.globalAlpha = 0.08 + 0.5 * (shade / (DENSITIES - 1));
      ctx.fill(path);
    });
    ctx.globalAlpha = 1;
  }

  hover(pen, moment, x, y) {
    if (!this.plot.holds(x, y)) return null;
    return { lines: [t("tipPlace", { x: number(this.plot.x(x)), y: number(this.plot.y(y)) })], mark: { x, y } };
  }

  describe({ k }) {
    return t("describeWarp", { step: this.run.steps[k] });
  }
}
