// Many round dots, drawn pixel by pixel: a canvas takes ten times as long for a thousand circles.

const PHASES = 4; // places within a pixel, in each direction, at which a dot is kept ready

/**
 * A dot as pixels, once for each place within a pixel.
 *
 * look: {colour, radius, alpha, halo}; with a halo it has a thin line of the background around it.
 * stride: pixels in a row of the picture that it is set into.
 * Returns {side, pictures: [PHASES * PHASES of {offsets, colours}]}: how far in that picture a dot's
 * pixels are from its corner, and what they are.
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
    const pixels = pixelsOf(ctx.getImageData(0, 0, side, side));
    const seen = [...pixels.keys()].filter((i) => pixels[i] !== 0);
    pictures.push({
      offsets: Int32Array.from(seen, (i) => Math.floor(i / side) * stride + (i % side)),
      colours: Int32Array.from(seen, (i) => pixels[i]),
    });
  }
  return { side, pictures };
}

/** An ImageData as one number a pixel: its bytes are alpha, blue, green, red, from the highest. */
function pixelsOf({ data }) {
  return new Int32Array(data.buffer);
}

/** A transparent picture of a plot, in device pixels, on which dots of one look are set. */
class Layer {
  constructor() {
    this.canvas = document.createElement("canvas");
  }

  /**
   * Draw dots at pixel places [x0, y0, x1, y1, ...] into a plot; NaN and what is outside is left out.
   *
   * lasting: the spots are the same as before, if the plot is.
   */
  draw(plot, spots, look, lasting = false) {
    const { pen, ctx } = plot;
    const { left, top, width, height } = plot;
    const state = JSON.stringify([look, pen.colours.background, pen.scale, left, top, width, height]);
    const known = state === this.state;
    if (!known) this.prepare(plot, look);
    if (!known || !lasting) this.fill(plot, spots);
    this.state = state;
    ctx.save();
    ctx.setTransform(1, 0, 0, 1, 0, 0); // pixel on pixel
    ctx.drawImage(this.canvas, ...this.corner);
    ctx.restore();
  }

  /** Take the plot's place, with a margin for dots at its edge. */
  prepare({ pen, left, top, width, height }, look) {
    const { canvas } = this;
    const margin = Math.ceil((look.radius + 1) * pen.scale) + 3;
    this.corner = [left, top].map((side) => Math.round(side * pen.scale) - margin);
    canvas.width = Math.ceil(width * pen.scale) + 2 * margin;
    canvas.height = Math.ceil(height * pen.scale) + 2 * margin;
    this.picture = new ImageData(canvas.width, canvas.height);
    this.stamps = makeStamps(pen, look, canvas.width);
  }

  fill(plot, spots) {
    const { scale } = plot.pen;
    const [x0, y0] = this.corner;
    const { side, pictures } = this.stamps;
    const half = Math.floor(side / 2);
    const stride = this.canvas.width;
    const pixels = pixelsOf(this.picture).fill(0);
    for (let i = 0; i < spots.length; i += 2) {
      if (!plot.holds(spots[i], spots[i + 1])) continue;
      const [x, y] = [spots[i] * scale - x0, spots[i + 1] * scale - y0];
      const [column, row] = [Math.floor(x), Math.floor(y)];
      const phase = Math.floor((y - row) * PHASES) * PHASES + Math.floor((x - column) * PHASES);
      const { offsets, colours } = pictures[phase];
      const corner = (row - half) * stride + column - half;
      for (let j = 0; j < offsets.length; j++) {
        const at = corner + offsets[j];
        pixels[at] = over(pixels[at], colours[j]);
      }
    }
    this.canvas.getContext("2d").putImageData(this.picture, 0, 0);
  }
}

/** One pixel over another. This takes most of the time, and is twice as slow with functions of its own. */
function over(below, above) {
  const alpha = above >>> 24;
  if (alpha === 255 || below === 0) return above;
  let share = alpha + (alpha >>> 7); // of 256
  let sum = 255;
  if (below >>> 24 !== 255) {
    const under = ((below >>> 24) * (255 - alpha)) / 255; // what is still seen of the pixel below
    share = Math.round((256 * alpha) / (alpha + under));
    sum = Math.round(alpha + under);
  }
  const rest = 256 - share;
  const redBlue = Math.imul(above & 0xff00ff, share) + Math.imul(below & 0xff00ff, rest); // at once
  const green = Math.imul((above >>> 8) & 0xff, share) + Math.imul((below >>> 8) & 0xff, rest);
  return (sum << 24) | ((redBlue >>> 8) & 0xff00ff) | (green & 0xff00);
}
