// A view of a run on single numbers: G as a map of its noise.

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
    pen.begin("", () => {
      const entries = [
        ["line", colours.real, t("legendExact")],
        ["line", colours.fake, t("legendMap")],
      ];
      if (scene.noise) entries.push(["dot", colours.fake, t("legendSamples")]);
      if (push) entries.push(["arrow", colours.ink, t("legendPush")]);
      const [first, last] = [scene.z[0], scene.z[scene.z.length - 1]];
      const margin = 0.02 * (last - first);
      const ends = [first - margin, last + margin];
      this.plot = Plot.below(pen, pen.legend(entries), ends, this.span);
      this.plot.axes(t("axisZ"), t("axisX"));
      this.plot.clip(() => this.plot.curve(scene.z, this.exact(), colours.real));
    });
    const { plot } = this;
    this.spots = this.above(samplesOf(run, moment));
    plot.clip(() => {
      if (push) {
        const moves = pairs(push.map(() => 0), push);
        plot.arrows(this.above(pushedOf(run, moment.k)), moves, colours.ink, 1.6 * ARROW * plot.height, { most: 100 });
      }
      plot.curve(scene.z, frameOf(run, "map", moment.k), colours.fake, { width: 2 });
      plot.dots(this.spots, colours.fake);
    });
  }

  /** The samples' places, each above its noise; none if the noise is not recorded. */
  above(samples) {
    const { noise } = this.run.scene;
    if (!noise) return [];
    return pairs(
      samples.map((_, i) => this.plot.px(noise[i])),
      samples.map((x) => this.plot.py(x)),
    );
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
    const i = z.findIndex((value) => value >= place);
    if (i < 1) return null; // outside the noise that was recorded
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
