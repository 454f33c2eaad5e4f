// The view of a run on images: always the same ones, with what D says of each.

const BLOCK_ROWS = 6; // classes below one another; more are set in two blocks

class GridView {
  title = "viewGrid";

  static fits(run) {
    return run.header.form === "image";
  }

  constructor(run) {
    this.run = run;
    [this.h, this.w] = run.scene.shape;
    const [n] = run.array("after").shape;
    this.columns = run.scene.columns;
    this.rows = Math.ceil(n / this.columns);
    const { labels } = run.scene;
    this.blocks = labels && this.rows > BLOCK_ROWS ? 2 : 1; // next to each other
    this.blockRows = Math.ceil(this.rows / this.blocks);
    // In tiles: a label takes half a tile, a bar of the score a sixth of its height.
    this.across = this.blocks * (this.columns + (labels ? 0.55 : 0));
    this.down = this.blockRows * (this.h / this.w + (has(run, "score") ? 0.17 : 0.06));
    this.aspect = this.down / this.across + 0.06;
  }

  /** The width of a tile, and the top left corner of image i. */
  place(pen, top) {
    const tile = Math.min((pen.width - 4) / this.across, (pen.height - top) / this.down);
    const left = (pen.width - tile * this.across) / 2;
    const labelled = this.run.scene.labels ? 0.55 : 0;
    return {
      tile,
      corner: (i) => {
        const row = Math.floor(i / this.columns);
        const block = Math.floor(row / this.blockRows);
        const across = block * (this.columns + labelled) + labelled + (i % this.columns);
        const down = (row % this.blockRows) * (this.down / this.blockRows);
        return [left + across * tile, top + down * tile];
      },
    };
  }

  draw(pen, { k }) {
    const { run, h, w } = this;
    const { labels } = run.scene;
    const images = run.array("after").at(k); // (n, h w), flat
    const score = frameOf(run, "score", k);
    const [n] = run.array("after").shape;
    pen.begin("", () => {
      const top = score ? pen.legend([["shades", null, t("legendShades")]]) : 0;
      this.layout = this.place(pen, top);
      if (labels) this.drawLabels(pen, n);
    });
    const { tile, corner } = this.layout;
    const scale = score && remember(this, "colours", () => coloursOf(run, "score"));
    const probable = run.scene.output === "probability"; // then a full bar is 1
    const [middle, reach] = !score || probable ? [0.5, 0.5] : [scale.middle(score), scale.reach];
    // All images below one another: -1 is black, 1 white.
    pen.paint(w, n * h, (i) => {
      const grey = Number.isFinite(images[i]) ? Math.round(127.5 * (images[i] + 1)) : 128;
      return 0xff000000 | (grey << 16) | (grey << 8) | grey;
    });
    const inner = 0.94 * tile; // without the gap
    pen.ctx.imageSmoothingEnabled = false; // pixels are shown as they are
    for (let i = 0; i < n; i++) {
      const [x, y] = corner(i);
      const height = (inner * h) / w;
      pen.ctx.drawImage(pen.small, 0, i * h, w, h, x, y, inner, height);
      if (score && Number.isFinite(score[i])) this.drawScore(pen, score[i], middle, reach, x, y + height, inner);
    }
  }

  /** The class of each row, left of it. */
  drawLabels(pen, n) {
    const { tile, corner } = this.layout;
    for (let i = 0; i < n; i += this.columns) {
      const [x, y] = corner(i);
      const middle = y + (0.47 * tile * this.h) / this.w;
      const look = { align: "center", colour: pen.colours.muted };
      pen.text(String(this.run.scene.labels[i]), x - 0.28 * tile, middle, look);
    }
  }

  /** A bar below a tile: as long as the score is high, and of D's colours. */
  drawScore(pen, value, middle, reach, x, y, width) {
    const { ctx } = pen;
    const height = Math.max(0.075 * width, 3);
    const share = Math.min(Math.max(0.5 + (value - middle) / (2 * reach), 0), 1);
    ctx.fillStyle = pen.colours.grid;
    ctx.fillRect(x, y + 1, width, height);
    ctx.fillStyle = pen.shadeColour(share < 0.5 ? 0 : SHADES - 1);
    ctx.fillRect(x, y + 1, share * width, height);
  }

  hover(pen, moment, x, y) {
    const { run, h, w } = this;
    const { tile, corner } = this.layout;
    const [n] = run.array("after").shape;
    for (let i = 0; i < n; i++) {
      const [left, top] = corner(i);
      const height = (tile * h) / w;
      if (x < left || x >= left + tile || y < top || y >= top + height) continue;
      const lines = [t("tipImage", { i: i + 1 })];
      if (run.scene.labels) lines.push(t("tipClass", { label: run.scene.labels[i] }));
      const score = frameOf(run, "score", moment.k);
      if (score && Number.isFinite(score[i])) lines.push(saysOf(run, score[i]));
      const push = frameOf(run, "push", moment.k);
      if (push && Number.isFinite(push[i])) lines.push(t("tipNorm", { norm: number(push[i]) }));
      return { lines, mark: { x: left + 0.47 * tile, y: top + 0.47 * height } };
    }
    return null;
  }

  describe({ k }) {
    const { run } = this;
    const [n] = run.array("after").shape;
    const score = sortedFinite(frameOf(run, "score", k) ?? []);
    const mean = score.reduce((sum, value) => sum + value, 0) / score.length;
    const key = score.length ? "describeScored" : "describeImages";
    return t(key, { step: run.steps[k], n, d: number(mean) });
  }
}

// In this order on the page.
const VIEWS = [DensityView, DiscriminatorView, MapView, FieldView, WarpView, GridView];
