// A canvas with the page's colours and text sizes. All lengths are CSS pixels.
//
// A view calls `begin` for each frame, with a function that draws what all frames share: a legend,
// then a `Plot` (plot.js) in the space left, with its axes. That is drawn once, and then copied.
// The page calls `resize` when the canvas has another size and `recolour` when the theme changes.

// The CSS variables of the same names, with "--" in front.
const COLOUR_NAMES = ["ink", "muted", "real", "fake", "d", "optimal", "grid", "background", "low", "high"];
const SHADES = 256; // of the palette from low over the background to high
const FINEST = 2; // device pixels a CSS pixel, at most: more are not seen, but cost time

class Pen {
  /**
   * frame: the element whose size the canvas takes, in whole pixels; else it has its own size.
   * largest: of its texts, in pixels, unless the reader chose larger ones.
   */
  constructor(canvas, frame = null, largest = 17) {
    Object.assign(this, { canvas, frame, largest });
    this.ctx = canvas.getContext("2d", { alpha: false }); // it is copied to the screen faster
    this.layer = new Layer(); // for dots
    this.small = document.createElement("canvas"); // for pictures that are scaled up
    this.backdrop = document.createElement("canvas"); // what all frames share
    this.recolour();
    this.resize();
  }

  /** Take the size of the canvas on the page, and a text size that suits it. */
  resize() {
    const scale = Math.min(window.devicePixelRatio || 1, FINEST);
    const { clientWidth, clientHeight } = this.frame ?? this.canvas; // rounded
    this.width = Math.max(clientWidth, 1);
    this.height = Math.max(clientHeight, 1);
    if (this.frame) {
      // A canvas that is stretched by a part of a pixel is blurred, and far slower to show.
      this.canvas.style.width = `${this.width}px`;
      this.canvas.style.height = `${this.height}px`;
    }
    this.canvas.width = Math.round(this.width * scale);
    this.canvas.height = Math.round(this.height * scale);
    this.scale = scale;
    this.shared = null; // what the backdrop shows; nothing of this size
    const chosen = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16 || 1;
    this.size = Math.min(Math.max(this.width / 46, 11.5), this.largest) * chosen; // of text
    this.font = `${this.size.toFixed(2)}px system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif`;
    this.radius = Math.min(Math.max(this.width / 190, 1.9), 4.5); // of a point
    this.clear(); // it would be black until it is drawn
  }

  /** Fill the canvas with the background. */
  clear() {
    this.ctx.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    this.ctx.fillStyle = this.colours.background;
    this.ctx.fillRect(0, 0, this.width, this.height);
  }

  /** Read the colours from the CSS variables at the canvas. */
  recolour() {
    const style = getComputedStyle(this.canvas);
    this.shared = null;
    this.colours = {};
    for (const name of COLOUR_NAMES) {
      this.colours[name] = style.getPropertyValue(`--${name}`).trim() || "#808080";
    }
    const [low, middle, high] = ["low", "background", "high"].map((name) => this.rgb(this.colours[name]));
    this.palette = new Uint32Array(SHADES); // opaque, as an ImageData of this machine has them
    const bytes = new Uint8ClampedArray(this.palette.buffer);
    for (let i = 0; i < SHADES; i++) {
      const t = (2 * i) / (SHADES - 1) - 1; // from -1 to 1
      const end = t < 0 ? low : high;
      const share = Math.abs(t) ** 0.85; // so that small differences can be seen
      for (let c = 0; c < 3; c++) bytes[4 * i + c] = middle[c] + (end[c] - middle[c]) * share;
      bytes[4 * i + 3] = 255;
    }
  }

  /** [red, green, blue] of a CSS colour. */
  rgb(colour) {
    this.ctx.fillStyle = "#000000";
    this.ctx.fillStyle = colour; // the browser reads it, and answers "#rrggbb"
    const value = parseInt(this.ctx.fillStyle.slice(1), 16);
    return [value >> 16, (value >> 8) & 255, value & 255];
  }

  /** A picture on the small canvas; `colour(i)` is that of pixel i, as in the palette. */
  paint(columns, rows, colour) {
    const { small } = this;
    if (small.width !== columns || small.height !== rows) {
      small.width = columns;
      small.height = rows;
    }
    const picture = new ImageData(columns, rows);
    const pixels = pixelsOf(picture);
    for (let i = 0; i < pixels.length; i++) pixels[i] = colour(i);
    small.getContext("2d").putImageData(picture, 0, 0);
  }

  /** The palette's place of a value: 0 is middle - reach, SHADES - 1 is middle + reach. */
  shade(value, middle, reach) {
    const share = (value - middle) / reach;
    return Math.round((Math.min(Math.max(share, -1), 1) + 1) * 0.5 * (SHADES - 1));
  }

  /** The CSS colour of a place in the palette. */
  shadeColour(index) {
    const value = this.palette[index];
    return `rgb(${value & 255} ${(value >> 8) & 255} ${(value >> 16) & 255})`;
  }

  /**
   * A canvas with what `draw` draws, and nothing else.
   *
   * That is drawn again only when `state`, a text, is another than before, or the size, the colours
   * or the language.
   */
  begin(state = "", draw = () => {}) {
    const { ctx, canvas, backdrop } = this;
    const shared = `${language} ${state}`;
    if (this.shared !== shared) {
      this.clear();
      ctx.font = this.font; // only here: it makes the browser look for changes of style
      ctx.lineJoin = ctx.lineCap = "round";
      draw();
      backdrop.width = canvas.width;
      backdrop.height = canvas.height;
      backdrop.getContext("2d", { alpha: false }).drawImage(canvas, 0, 0);
      this.shared = shared;
      return;
    }
    ctx.setTransform(1, 0, 0, 1, 0, 0); // pixel on pixel
    ctx.drawImage(backdrop, 0, 0);
    ctx.setTransform(this.scale, 0, 0, this.scale, 0, 0);
  }

  textWidth(text) {
    return this.ctx.measureText(text).width;
  }

  /** Text at (x, y); align "left", "center" or "right", y its middle. */
  text(text, x, y, { colour = this.colours.ink, align = "left", turned = false } = {}) {
    const { ctx } = this;
    ctx.fillStyle = colour;
    ctx.textAlign = align;
    ctx.textBaseline = "middle";
    if (!turned) {
      ctx.fillText(text, x, y);
      return;
    }
    ctx.save();
    ctx.translate(x, y);
    ctx.rotate(-Math.PI / 2);
    ctx.fillText(text, 0, 0);
    ctx.restore();
  }

  /** Entries [kind, colour, text] in rows at the top; kind is a key of MARKS. Returns the height used. */
  legend(entries) {
    const { size } = this;
    const line = 1.45 * size;
    let x = 2;
    let y = 0.8 * size;
    for (const [kind, colour, text] of entries) {
      const width = 2.1 * size + this.textWidth(text);
      if (x > 2 && x + width > this.width) {
        x = 2;
        y += line;
      }
      MARKS[kind](this, colour, x, y);
      this.text(text, x + 1.9 * size, y);
      x += width + 0.9 * size;
    }
    return y + 0.95 * size;
  }

  /** A round dot. */
  dot(x, y, radius) {
    this.ctx.beginPath();
    this.ctx.arc(x, y, radius, 0, 2 * Math.PI);
  }

  /** The mark of what the pointer is at. */
  ring(x, y) {
    this.dot(x, y, this.radius + 4);
    for (const [colour, width] of [[this.colours.background, 5], [this.colours.ink, 2]]) {
      this.ctx.strokeStyle = colour;
      this.ctx.lineWidth = width;
      this.ctx.stroke();
    }
  }
}

// The little pictures of a legend at (x, y), 1.5 text sizes wide.
const MARKS = {
  area(pen, colour, x, y) {
    pen.ctx.fillStyle = colour;
    pen.ctx.globalAlpha = 0.6;
    pen.ctx.fillRect(x, y - 0.4 * pen.size, 1.5 * pen.size, 0.8 * pen.size);
    pen.ctx.globalAlpha = 1;
  },
  line(pen, colour, x, y, dash = []) {
    const { ctx } = pen;
    ctx.strokeStyle = colour;
    ctx.lineWidth = 2.5;
    ctx.setLineDash(dash);
    ctx.beginPath();
    ctx.moveTo(x + 1, y);
    ctx.lineTo(x + 1.5 * pen.size, y);
    ctx.stroke();
    ctx.setLineDash([]);
  },
  dashes(pen, colour, x, y) {
    MARKS.line(pen, colour, x, y, DASHES);
  },
  dot(pen, colour, x, y) {
    pen.ctx.fillStyle = colour;
    pen.dot(x + 0.9 * pen.size, y, 0.3 * pen.size);
    pen.ctx.fill();
  },
  /** The palette; `colour` is not used. */
  shades(pen, colour, x, y) {
    const { ctx, size } = pen;
    const each = (1.5 * size) / 8;
    for (let i = 0; i < 8; i++) {
      ctx.fillStyle = pen.shadeColour(Math.round((i / 7) * (SHADES - 1)));
      ctx.fillRect(x + i * each, y - 0.4 * size, each + 0.5, 0.8 * size);
    }
  },
  ring(pen, colour, x, y) {
    pen.ctx.strokeStyle = colour;
    pen.ctx.lineWidth = 1.5;
    pen.dot(x + 0.9 * pen.size, y, 0.42 * pen.size);
    pen.ctx.stroke();
  },
  arrow(pen, colour, x, y) {
    const { ctx } = pen;
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.5;
    ctx.beginPath();
    arrowPath(ctx, x + 1, y, 1.4 * pen.size, 0, 0.4 * pen.size);
    ctx.stroke();
  },
};

const DASHES = [7, 5]; // of dashed lines

/** Add to the path an arrow from (x, y) by (dx, dy), its head at most `head` long. */
function arrowPath(ctx, x, y, dx, dy, head) {
  const length = Math.sqrt(dx * dx + dy * dy);
  const [endX, endY] = [x + dx, y + dy];
  ctx.moveTo(x, y);
  ctx.lineTo(endX, endY);
  const part = Math.min(head, 0.5 * length) / length; // the head, as a share of the arrow
  const [backX, backY] = [part * dx, part * dy];
  ctx.moveTo(endX - backX - 0.6 * backY, endY - backY + 0.6 * backX);
  ctx.lineTo(endX, endY);
  ctx.lineTo(endX - backX + 0.6 * backY, endY - backY - 0.6 * backX);
}
