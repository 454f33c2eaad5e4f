// What the views of all forms ask of a recording.

/** The recording has an array of this name. */
function has(run, name) {
  return Boolean(run.array(name));
}

/** Frame k of an array, or null if it is not recorded. */
function frameOf(run, name, k) {
  return has(run, name) ? run.array(name).at(k) : null;
}

/** The samples that a moment shows: those before G's half of the step, or after it. */
function samplesOf(run, { k, half }) {
  return (half === "d" && frameOf(run, "before", k)) || frameOf(run, "after", k);
}

/** Where the arrows of frame k begin: D pushed the samples that were there before G's half. */
function pushedOf(run, k) {
  return frameOf(run, "before", k) || frameOf(run, "after", k);
}

/** n places from low to high. */
function places(low, high, n) {
  return Float64Array.from({ length: n }, (_, i) => low + ((high - low) * i) / (n - 1));
}

/** The values at the nodes of `places(low, high, n)`, linearly in between; NaN outside. */
function between(values, low, high, x) {
  const at = ((x - low) / (high - low)) * (values.length - 1);
  if (!(at >= 0 && at <= values.length - 1)) return NaN;
  const i = Math.min(Math.floor(at), values.length - 2);
  return values[i] + (at - i) * (values[i + 1] - values[i]);
}

/** The q-quantile of an array that is sorted. */
function quantile(sorted, q) {
  return sorted[Math.round(q * (sorted.length - 1))];
}

/** The finite values in rising order. */
function sortedFinite(values) {
  return Float64Array.from(values).filter(Number.isFinite).sort();
}

/** What `make` makes, made once for a view and key. */
function remember(view, key, make) {
  view.memory ??= new Map();
  if (!view.memory.has(key)) view.memory.set(key, make());
  return view.memory.get(key);
}

/** [low, high] of an array over all frames, without the tenth of the frames that reach furthest. */
function usualRange(run, name) {
  const [lows, highs] = [[], []];
  for (let k = 0; k < run.steps.length; k++) {
    const values = sortedFinite(run.array(name).at(k));
    if (!values.length) continue;
    lows.push(values[0]);
    highs.push(values[values.length - 1]);
  }
  if (!lows.length) return [0, 1];
  return [quantile(sortedFinite(lows), 0.1), quantile(sortedFinite(highs), 0.9)];
}

/**
 * What D's colours mean, the same for all frames: {middle(values), reach}.
 * A probability's middle is 1/2. A score's zero has no meaning, so its middle is the median of each frame.
 */
function coloursOf(run, name) {
  const probable = run.scene.output === "probability";
  const middle = (values) => (probable ? 0.5 : quantile(sortedFinite(values), 0.5) ?? 0);
  const reaches = [];
  for (let k = 0; k < run.steps.length; k++) {
    const values = sortedFinite(run.array(name).at(k));
    if (!values.length) continue;
    const centre = middle(values);
    reaches.push(Math.max(values[values.length - 1] - centre, centre - values[0]));
  }
  const usual = reaches.length ? quantile(sortedFinite(reaches), 0.9) : 0;
  return { middle, reach: Math.max(probable ? Math.min(usual, 0.5) : usual, 1e-6) };
}

/** The index of the place [x0, y0, x1, y1, ...] nearest to (x, y), or -1 if none is within `most` pixels. */
function nearest(spots, x, y, most) {
  let [best, found] = [most * most, -1];
  for (let i = 0; i < spots.length / 2; i++) {
    const distance = (spots[2 * i] - x) ** 2 + (spots[2 * i + 1] - y) ** 2;
    if (distance < best) [best, found] = [distance, i];
  }
  return found;
}

const REACH = 16; // pixels from the pointer within which a sample is found

/** What D says at a place, in words. */
function saysOf(run, value) {
  return t(run.scene.output === "probability" ? "tipProbability" : "tipScore", { d: number(value) });
}

/** The text of D in a legend. */
function nameOfD(run) {
  return run.scene.pack > 1 ? t("legendDPack", { m: run.scene.pack }) : t("legendD");
}
