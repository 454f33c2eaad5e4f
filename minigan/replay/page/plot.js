// A rectangle of a canvas with a scale along each side, and what is drawn into it.

/** A step of 1, 2 or 5 times a power of ten, at least `least`. */
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least * (1 - 1e-9));
}

/** The multiples of a nice step within [low, high], at most about `most`, and their texts. */
function ticks(low, high, most) {
  const step = niceStep((high - low) / Math.max(most, 1));
  const digits = Math.min(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), 20);
  const large = Math.max(Math.abs(low), Math.abs(high));
  const plain = large < 1e5 && step > 1e-5;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) {
    const value = i * step;
    const text = plain ? Math.abs(value).toFixed(digits) : Math.abs(value).toExponential(0);
    found.push({ value, text: (value < 0 ? "−" : "") + text });
  }
  return found;
}

/**
 * The factor that draws the 90 % quantile of lengths as `longest`; lengths beyond are cut to it.
 * 0 if there is nothing to draw.
 */
function arrowFactor(lengths, longest) {
  const sorted = lengths.filter((length) => length > 0).sort();
  if (!sorted.length) return 0;
  const most = sorted[Math.floor(0.9 * (sorted.length - 1))];
  return longest / most;
}

/** [x0, y0, x1, y1, ...] of two arrays. */
function pairs(x, y) {
  const made = new Float32Array(2 * x.length);
  for (let i = 0; i < x.length; i++) {
    made[2 * i] = x[i];
    made[2 * i + 1] = y[i];
  }
  return made;
}

class Plot {
  /** x, y: [from, to]; box: {left, top, width, height} in pixels, of which it takes whole ones. */
  constructor(pen, box, x, y) {
    Object.assign(this, { pen, ctx: pen.ctx, xRange: x, yRange: y });
    // What is cut off at whole pixels is drawn faster.
    for (const side of ["left", "top", "width", "height"]) this[side] = Math.round(box[side]);
    this.width = Math.max(this.width, 1); // the texts around it may leave nothing
    this.height = Math.max(this.height, 1);
    this.right = this.left + this.width;
    this.bottom = this.top + this.height;
    this.xScale = this.width / (x[1] - x[0]);
    this.yScale = this.height / (y[1] - y[0]);
  }

  /** A plot in the canvas below `top`, with room for the axes' texts. */
  static below(pen, top, x, y, { foot = 0, square = false } = {}) {
    const { size } = pen;
    const left = Math.ceil(4.3 * size);
    const bottom = 2.7 * size + foot;
    let width = pen.width - left - 0.7 * size;
    let height = pen.height - top - bottom - 0.3 * size;
    if (square) width = height = Math.min(width, height);
    return new Plot(pen, { left, top: top + 0.3 * size, width, height }, x, y);
  }

  px(x) {
    return this.left + (x - this.xRange[0]) * this.xScale;
  }

  py(y) {
    return this.bottom - (y - this.yRange[0]) * this.yScale;
  }

  x(px) {
    return this.xRange[0] + (px - this.left) / this.xScale;
  }

  y(py) {
    return this.yRange[0] + (this.bottom - py) / this.yScale;
  }

  holds(px, py) {
    return px >= this.left && px <= this.right && py >= this.top && py <= this.bottom;
  }

  /** Lines and numbers at nice places, and what the axes are. `lines: false` draws no lines. */
  axes(xLabel, yLabel, { lines = true } = {}) {
    this.xAxis(xLabel, lines);
    this.yAxis(yLabel, lines);
  }

  xAxis(label, lines = true) {
    const { pen, ctx } = this;
    const { muted } = pen.colours;
    const found = ticks(...this.xRange, this.width / (3.8 * pen.size));
    if (lines) this.rules(found.map(({ value }) => [this.px(value), this.top, this.px(value), this.bottom]));
    for (const { value, text } of found) {
      pen.text(text, this.px(value), this.bottom + 0.85 * pen.size, { colour: muted, align: "center" });
    }
    pen.text(label, this.left + this.width / 2, this.bottom + 2.05 * pen.size, { align: "center" });
    ctx.strokeStyle = muted;
    ctx.lineWidth = 1;
    ctx.beginPath();
    ctx.moveTo(this.left, this.bottom + 0.5); // just outside, where nothing is drawn over it
    ctx.lineTo(this.right, this.bottom + 0.5);
    ctx.stroke();
  }

  yAxis(label, lines = true) {
    const { pen } = this;
    const { size } = pen;
    const found = ticks(...this.yRange, this.height / (3 * size));
    if (lines) this.rules(found.map(({ value }) => [this.left, this.py(value), this.right, this.py(value)]));
    for (const { value, text } of found) {
      pen.text(text, this.left - 0.45 * size, this.py(value), { colour: pen.colours.muted, align: "right" });
    }
    pen.text(label, this.left - 3.5 * size, this.top + this.height / 2, { align: "center", turned: true });
  }

  /** Thin lines [x0, y0, x1, y1] in pixels. */
  rules(lines, { colour = this.pen.colours.grid, dash = [] } = {}) {
    const { ctx } = this;
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1;
    ctx.setLineDash(dash);
    ctx.beginPath();
    for (const [x0, y0, x1, y1] of lines) {
      ctx.moveTo(x0, y0);
      ctx.lineTo(x1, y1);
    }
    ctx.stroke();
    ctx.setLineDash([]);
  }

  /** Whatever `draw` draws, without what lies outside the plot. */
  clip(draw) {
    this.ctx.save();
    this.ctx.beginPath();
    this.ctx.rect(this.left, this.top, this.width, this.height);
    this.ctx.clip();
    draw();
    this.ctx.restore();
  }

  /** Add to the path a line through points [x0, y0, x1, y1, ...], interrupted where one is not finite. */
  pathThrough(points) {
    const { ctx } = this;
    let begun = false;
    for (let i = 0; i < points.length; i += 2) {
      const finite = Number.isFinite(points[i] + points[i + 1]);
      if (finite && begun) ctx.lineTo(this.px(points[i]), this.py(points[i + 1]));
      else if (finite) ctx.moveTo(this.px(points[i]), this.py(points[i + 1]));
      begun = finite;
    }
  }

  /** A line through (x_i, y_i). */
  curve(x, y, colour, { width = 2.5, dash = [], alpha = 1 } = {}) {
    const { ctx } = this;
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.globalAlpha = alpha;
    ctx.setLineDash(dash);
    ctx.beginPath();
    this.pathThrough(pairs(x, y));
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.globalAlpha = 1;
  }

  /** The area between the curve and the bottom; values that are not finite count as 0. */
  area(x, y, colour, alpha, scale = 1) {
    const { ctx } = this;
    ctx.fillStyle = colour;
    ctx.globalAlpha = alpha;
    ctx.beginPath();
    ctx.moveTo(this.px(x[0]), this.bottom);
    for (let i = 0; i < x.length; i++) {
      ctx.lineTo(this.px(x[i]), this.py(Number.isFinite(y[i]) ? scale * y[i] : 0));
    }
    ctx.lineTo(this.px(x[x.length - 1]), this.bottom);
    ctx.fill();
    ctx.globalAlpha = 1;
  }

  /** Dots at pixel places [x0, y0, x1, y1, ...]; NaN is not drawn. */
  dots(spots, colour, { radius = this.pen.radius, alpha = 1, halo = true } = {}) {
    this.pen.layer.draw(this, spots, { colour, radius, alpha, halo });
  }

  /** Lines from pixel places to others, where they are apart. */
  trails(from, to, colour) {
    const { ctx } = this;
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1;
    ctx.globalAlpha = 0.6;
    ctx.beginPath();
    for (let i = 0; i < from.length; i += 2) {
      const apart = Math.abs(from[i] - to[i]) + Math.abs(from[i + 1] - to[i + 1]);
      if (!(apart > 2)) continue; // under the dot, or NaN
      ctx.moveTo(from[i], from[i + 1]);
      ctx.lineTo(to[i], to[i + 1]);
    }
    ctx.stroke();
    ctx.globalAlpha = 1;
  }

  /**
   * Arrows at pixel places by `moves` [dx0, dy0, ...] in data units (y upwards).
   *
   * They have their true ratios; the longest tenth are cut to `longest` pixels. At most about `most`
   * of them are drawn.
   */
  arrows(spots, moves, colour, longest, { alpha = 0.8, most = Infinity } = {}) {
    const { ctx } = this;
    const n = spots.length / 2;
    const lengths = new Float32Array(n);
    for (let i = 0; i < n; i++) lengths[i] = Math.sqrt(moves[2 * i] ** 2 + moves[2 * i + 1] ** 2);
    const factor = arrowFactor(lengths, longest);
    if (!factor) return;
    const head = 0.32 * this.pen.size;
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1; // of one pixel: these are drawn much faster
    ctx.lineCap = "butt";
    ctx.globalAlpha = alpha;
    ctx.beginPath();
    const every = Math.max(Math.ceil(n / most), 1);
    for (let i = 0; i < n; i += every) {
      const [x, y] = [spots[2 * i], spots[2 * i + 1]];
      const share = Math.min(factor, longest / lengths[i]);
      if (!this.holds(x, y) || !(share * lengths[i] > 1)) continue; // shorter than a pixel, or NaN
      arrowPath(ctx, x, y, share * moves[2 * i], -share * moves[2 * i + 1], head);
    }
    ctx.stroke();
    ctx.globalAlpha = 1;
  }

  /** Values (rows, columns) at the nodes of a grid over the plot, row 0 at the bottom, as colours. */
  heat(values, rows, columns, middle, reach) {
    const { pen, ctx } = this;
    pen.paint(columns, rows, (i) => {
      const value = values[i + columns * (rows - 1 - 2 * Math.floor(i / columns))]; // upside down
      return pen.palette[Number.isFinite(value) ? pen.shade(value, middle, reach) : SHADES >> 1];
    });
    ctx.imageSmoothingEnabled = true;
    // Nodes are the middles of pixels, so the outermost half pixels are left out.
    const [dx, dy] = [columns > 1 ? 0.5 : 0, rows > 1 ? 0.5 : 0];
    ctx.drawImage(pen.small, dx, dy, columns - 2 * dx, rows - 2 * dy, this.left, this.top, this.width, this.height);
  }

  /**
   * The line on which values (rows, columns) at the nodes of a grid, row 0 at the bottom, are `level`.
   * Marching squares: each cell has a part of the line between two of its edges, or two parts.
   */
  contour(values, rows, columns, level, colour) {
    const { ctx } = this;
    const [dx, dy] = [this.width / (columns - 1), this.height / (rows - 1)];
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.5;
    ctx.beginPath();
    for (let r = 0; r + 1 < rows; r++) {
      for (let c = 0; c + 1 < columns; c++) {
        const at = r * columns + c;
        const [a, b] = [values[at] - level, values[at + 1] - level];
        const [d, e] = [values[at + columns] - level, values[at + columns + 1] - level];
        if (a > 0 === b > 0 && b > 0 === d > 0 && d > 0 === e > 0) continue;
        const [x, y] = [this.left + c * dx, this.bottom - r * dy];
        const ends = [];
        if (a > 0 !== b > 0) ends.push(x + (a / (a - b)) * dx, y);
        if (b > 0 !== e > 0) ends.push(x + dx, y - (b / (b - e)) * dy);
        if (d > 0 !== e > 0) ends.push(x + (d / (d - e)) * dx, y - dy);
        if (a > 0 !== d > 0) ends.push(x, y - (a / (a - d)) * dy);
        for (let i = 0; i + 3 < ends.length; i += 4) {
          ctx.moveTo(ends[i], ends[i + 1]);
          ctx.lineTo(ends[i + 2], ends[i + 3]);
        }
      }
    }
    ctx.stroke();
  }
}
