// Many round dots, drawn pixel by pixel: a canvas takes ten times as long for a thousand circles.

const PHASES = 4; // places within a pixel, in each direction, at which a dot is kept ready

/**
 * A dot as pixels, once for each place within a pixel.
 *
 * look: {colour, radius, alpha, halo}; with a halo it has a thin line of the background around it.
 * Returns {side, pictures: [PHASES * PHASES of {bytes: (side, side, 4), pixels: (side, side)}]}.
 */
function makeStamps(pen, { colour, radius, alpha, halo }) {
  const outer = radius + (halo ? 1 : 0);
  const side = Math.ceil(2 * outer * pen.scale) + 3; // device pixels
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const ctx = canvas.getContext("2d", { willReadFrequently: true });
  const disc = (fill, r) => {
    ctx.fillStyle = fill;
    ctx.beginPath();
    ctx.arc(0, 0, r, 0, 2 * Math.PI);
    ctx.fill();
  };
  const pictures = [];
  for (let phase = 0; phase < PHASES * PHASES; phase++) {
    const [x, y] = [phase % PHASES, Math.floor(phase / PHASES)];
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.clearRect(0, 0, side, side);
    const centre = Math.floor(side / 2);
    ctx.setTransform(pen.scale, 0, 0, pen.scale, centre + x / PHASES, centre + y / PHASES);
    ctx.globalAlpha = alpha;
    if (halo) disc(pen.colours.background, outer);
    disc(colour, radius);
    pictures.push(bothViews(ctx.getImageData(0, 0, side, side)));
  }
  return { side, pictures };
}

/** The same memory as bytes (red, green, blue, alpha) and as one number a pixel. */
function bothViews({ data }) {
  return { bytes: data, pixels: new Uint32Array(data.buffer) };
}

/** A transparent layer of a plot's size in device pixels, on which dots are set. */
class Layer {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.stamps = new Map(); // by look
  }

  /**
   * Draw dots at pixel places [x0, y0, x1, y1, ...] into a plot; NaN and what is outside is left out.
   *
   * lasting: the spots are the same as before, if the plot is.
   */
  draw(plot, spots, look, lasting = false) {
    const { pen, ctx } = plot;
    const state = JSON.stringify([look, pen.colours.background, pen.scale, plot.left, plot.top, plot.width]);
    if (!lasting || state !== this.state) this.fill(plot, spots, look);
    this.state = state;
    ctx.save();
    ctx.setTransform(1, 0, 0, 1, 0, 0); // pixel on pixel
    ctx.drawImage(this.canvas, ...this.corner);
    ctx.restore();
  }

  fill(plot, spots, look) {
    const { pen } = plot;
    this.corner = [Math.round(plot.left * pen.scale), Math.round(plot.top * pen.scale)];
    this.clear(Math.ceil(plot.width * pen.scale), Math.ceil(plot.height * pen.scale));
    const key = JSON.stringify([look, pen.colours.background, pen.scale]);
    if (!this.stamps.has(key)) {
      if (this.stamps.size > 20) this.stamps.clear(); // of other sizes and themes
      this.stamps.set(key, makeStamps(pen, look));
    }
    const stamps = this.stamps.get(key);
    for (let i = 0; i < spots.length; i += 2) {
      if (!plot.holds(spots[i], spots[i + 1])) continue;
      const x = spots[i] * pen.scale - this.corner[0];
      const y = spots[i + 1] * pen.scale - this.corner[1];
      this.set(stamps, Math.max(x, 0), Math.max(y, 0));
    }
    this.canvas.getContext("2d").putImageData(this.picture, 0, 0);
  }

  clear(width, height) {
    if (this.canvas.width !== width || this.canvas.height !== height || !this.picture) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.picture = new ImageData(width, height);
      this.memory = bothViews(this.picture);
    } else {
      this.memory.pixels.fill(0);
    }
  }

  /** One dot at (x, y), in device pixels from the plot's corner. */
  set({ side, pictures }, x, y) {
    const { width, height } = this.picture;
    const { bytes, pixels } = this.memory;
    const half = Math.floor(side / 2);
    const phase = (place) => Math.floor((place - Math.floor(place)) * PHASES);
    const from = pictures[phase(y) * PHASES + phase(x)];
    const [left, top] = [Math.floor(x) - half, Math.floor(y) - half];
    for (let row = Math.max(0, -top); row < Math.min(side, height - top); row++) {
      for (let column = Math.max(0, -left); column < Math.min(side, width - left); column++) {
        const source = row * side + column;
        const at = (top + row) * width + left + column;
        const alpha = from.bytes[4 * source + 3];
        if (alpha === 255) pixels[at] = from.pixels[source];
        else if (alpha > 0) blend(bytes, 4 * at, from.bytes, 4 * source);
      }
    }
  }
}

/** Set one pixel (red, green, blue, alpha from 0 to 255) over another. */
function blend(below, at, above, from) {
  const alpha = above[from + 3];
  const under = (below[at + 3] * (255 - alpha)) / 255; // what is still seen of the pixel below
  const share = alpha / (alpha + under);
  for (let c = 0; c < 3; c++) below[at + c] = share * above[from + c] + (1 - share) * below[at + c];
  below[at + 3] = alpha + under;
}
