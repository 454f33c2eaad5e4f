// A recorded run: its frames are unpacked here, and nothing is added to them.

const CACHED = 32; // decoded frames of an array that are kept

/** An error with a sentence for the reader: a key of WORDS. */
class PageError extends Error {
  constructor(key, values = {}) {
    super(key);
    this.key = key;
    this.values = values;
  }
}

/** The bytes of a base64 text that zlib compressed. */
async function inflate(base64) {
  if (typeof DecompressionStream === "undefined") throw new PageError("errorOldBrowser");
  const text = atob(base64);
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * Codes (frames, size) from bytes that hold their differences in time.
 *
 * Two bytes a code: first all low bytes, then all high ones. Sums wrap around, as the differences
 * did when they were made.
 */
function undoDifferences(bytes, frames, size, wide) {
  const n = frames * size;
  if (bytes.length !== (wide ? 2 * n : n)) throw new PageError("errorDamaged");
  let codes = bytes;
  if (wide) {
    codes = new Uint16Array(n);
    for (let i = 0; i < n; i++) codes[i] = bytes[i] | (bytes[n + i] << 8);
  }
  for (let i = size; i < n; i++) codes[i] += codes[i - size];
  return codes;
}

/** One array of a recording: its numbers at frame k are `at(k)`, NaN where none were recorded. */
class Track {
  /**
   * array: its entry in the header, {name, shape, levels, range}.
   * codes: (frames, size), code 0 for "not a finite number".
   * ranges: [[low, high], ...] of each frame, if the entry has no range.
   */
  constructor(array, codes, ranges) {
    this.name = array.name;
    this.shape = array.shape;
    this.size = array.shape.reduce((a, b) => a * b, 1);
    this.levels = array.levels;
    this.range = array.range;
    this.ranges = ranges;
    this.codes = codes;
    this.kept = new Map(); // frame -> Float32Array
  }

  /** The numbers of frame k: Float32Array (size). */
  at(k) {
    let numbers = this.kept.get(k);
    if (!numbers) {
      const [low, high] = this.range ?? this.ranges[k];
      const unit = (high - low) / (this.levels - 1);
      numbers = new Float32Array(this.size);
      for (let i = 0; i < this.size; i++) {
        const code = this.codes[k * this.size + i];
        numbers[i] = code === 0 ? NaN : low + (code - 1) * unit;
      }
      if (this.kept.size >= CACHED) this.kept.delete(this.kept.keys().next().value);
      this.kept.set(k, numbers);
    }
    return numbers;
  }
}

/** The index of the last of the rising `steps` that is at most `step`; -1 if there is none. */
function latest(steps, step) {
  let low = 0;
  let high = steps.length; // the answer is low - 1 when both meet
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle] <= step) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** A run of the page's data. */
class Run {
  /** Unpack one run; a PageError if its data are damaged. */
  static async open(data) {
    const run = new Run(data);
    for (const array of data.header.arrays) {
      const bytes = await inflate(data.arrays[array.name]);
      const size = array.shape.reduce((a, b) => a * b, 1);
      const codes = undoDifferences(bytes, run.steps.length, size, array.levels > 255);
      run.tracks.set(array.name, new Track(array, codes, data.ranges[array.name]));
    }
    return run;
  }

  constructor(data) {
    this.name = data.name;
    this.about = data.about ?? {};
    this.recipe = data.recipe ?? {};
    this.form = data.header.form;
    this.header = data.header;
    this.scene = data.header.scene;
    this.steps = data.steps; // of the frames, rising
    this.values = data.values; // {name: [number or null of each frame]}
    this.columns = data.columns; // {name of a loss: its title}
    this.players = data.players; // names of the losses on the time line
    this.undecided = data.undecided; // their value where D cannot tell, or null
    this.history = data.history; // {step: [...], auc: [...], ...}
    this.health = data.health; // [{step, failures}], where it changes
    this.tracks = new Map();
    if (!this.steps.length) throw new PageError("errorDamaged");
  }

  /** An array by name, or null if it was not recorded. */
  array(name) {
    return this.tracks.get(name) ?? null;
  }

  /** A value of frame k by name; NaN if there is none. */
  value(name, k) {
    return this.values[name]?.[k] ?? NaN;
  }

  /** The last row of the history up to a step: {step, auc, ...}, or null. */
  measures(step) {
    const row = latest(this.history.step ?? [], step);
    if (row < 0) return null;
    const names = Object.keys(this.history);
    return Object.fromEntries(names.map((name) => [name, this.history[name][row] ?? NaN]));
  }

  /** The failures that the health check saw at a step. */
  failures(step) {
    const at = latest(this.health.map((one) => one.step), step);
    return at < 0 ? [] : this.health[at].failures;
  }
}

/** The runs in the page; a PageError if they are missing or damaged. */
async function readRuns() {
  try {
    const { runs } = JSON.parse(document.getElementById("recording").textContent);
    if (!runs.length) throw new PageError("errorDamaged");
    return await Promise.all(runs.map((data) => Run.open(data)));
  } catch (error) {
    if (error instanceof PageError) throw error;
    throw new PageError("errorDamaged");
  }
}
