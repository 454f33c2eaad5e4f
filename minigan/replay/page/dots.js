// Many round dots, drawn pixel by pixel: a canvas takes ten times as long for a thousand circles.

const PHASES = 4; // places within a pixel, in each direction, at which a dot is kept ready

/**
 * A dot as pixels, once for each place within a pixel.
 *
 * look: {colour, radius, alpha, halo}; with a halo it has a thin line of the background around it.
 * stride: pixels in a row of the picture that it is set into.
 * Returns {side, pictures: [PHASES * PHASES of {solid, soft}]}, each of these {offsets, colours}: how
 * far in the picture its pixels are from its corner, and what they are, as of an ImageData.
 */
function makeStamps(pen, { colour, radius, alpha, halo }, stride) {
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
    const { bytes, pixels } = bothViews(ctx.getImageData(0, 0, side, side));
    const pick = (wanted) => {
      const at = [...pixels.keys()].filter((i) => wanted(bytes[4 * i + 3]));
      const offsets = at.map((i) => Math.floor(i / side) * stride + (i % side));
      return { offsets: Int32Array.from(offsets), colours: Uint32Array.from(at, (i) => pixels[i]) };
    };
    pictures.push({ solid: pick((a) => a === 255), soft: pick((a) => a > 0 && a < 255) });
  }
  return { side, pictures };
}

/** The same memory as bytes (red, green, blue, alpha) and as one number a pixel. */
function bothViews({ data }) {
  return { bytes: data, pixels: new Uint32Array(data.buffer) };
}

/** A transparent picture of a plot, in device pixels, on which dots are set. It has a margin for them. */
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
    const { left, top, pen } = plot;
    const { scale } = pen;
    const margin = Math.ceil((look.radius + 1) * scale) + 3;
    const [x0, y0] = (this.corner = [left, top].map((side) => Math.round(side * scale) - margin));
    const size = [plot.width, plot.height].map((side) => Math.ceil(side * scale) + 2 * margin);
    this.clear(...size);
    const stride = size[0];
    const key = JSON.stringify([look, pen.colours.background, scale, stride]);
    if (!this.stamps.has(key)) {
      if (this.stamps.size > 20) this.stamps.clear(); // of other sizes and themes
      this.stamps.set(key, makeStamps(pen, look, stride));
    }
    const { side, pictures } = this.stamps.get(key);
    const half = Math.floor(side / 2);
    const { bytes, pixels } = this.memory;
    for (let i = 0; i < spots.length; i += 2) {
      if (!plot.holds(spots[i], spots[i + 1])) continue;
      const [x, y] = [spots[i] * scale - x0, spots[i + 1] * scale - y0];
      const [column, row] = [Math.floor(x), Math.floor(y)];
      const phase = Math.floor((y - row) * PHASES) * PHASES + Math.floor((x - column) * PHASES);
      const { solid, soft } = pictures[phase];
      const corner = (row - half) * stride + column - half;
      for (let j = 0; j < solid.offsets.length; j++) pixels[corner + solid.offsets[j]] = solid.colours[j];
      for (let j = 0; j < soft.offsets.length; j++) {
        const at = corner + soft.offsets[j];
        if (pixels[at] === 0) pixels[at] = soft.colours[j];
        else blend(bytes, 4 * at, soft.colours[j]);
      }
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
}

/** Set a pixel, of bytes red, green, blue and alpha, over the one at `at`. */
function blend(below, at, above) {
  const alpha = above >>> 24;
  const under = (below[at + 3] * (255 - alpha)) / 255; // what is still seen of the pixel below
  const share = alpha / (alpha + under);
  for (let c = 0; c < 3; c++) below[at + c] += share * (((above >>> (8 * c)) & 255) - below[at + c]);
  below[at + 3] = alpha + under;
}
