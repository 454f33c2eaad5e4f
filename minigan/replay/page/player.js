// The clock of the page, and the controls that move it.

const SPEEDS = [1, 2, 5, 10, 15, 30, 60]; // frames a second
const USUAL = 15;
const CALM = 2; // for readers who asked their system for less motion
const LONGEST = 250; // milliseconds between two drawings that count: a hidden tab does not jump

/**
 * The clock counts steps. Its places are the steps of all frames of all runs, in order; with
 * halves, a step has two places: D's half, "d", and then G's, "g".
 */
class Clock {
  /** changed: called without arguments after every change. */
  constructor(runs, changed) {
    this.runs = runs;
    this.changed = changed;
    this.steps = [...new Set(runs.flatMap((run) => run.steps))].sort((a, b) => a - b);
    this.hasHalves = runs.some((run) => run.array("before"));
    this.halves = false;
    this.playing = false;
    this.speed = USUAL;
    this.index = 0;
    this.places = this.makePlaces();
  }

  makePlaces() {
    const whole = (step) => [{ step, half: "g" }];
    const both = (step) => [{ step, half: "d" }, { step, half: "g" }];
    // Nothing has moved at step 0.
    return this.steps.flatMap((step) => (this.halves && step > 0 ? both(step) : whole(step)));
  }

  get place() {
    return this.places[this.index];
  }

  get lastStep() {
    return this.steps[this.steps.length - 1];
  }

  /** Stop, and go to a place; beyond the ends is at the ends. */
  go(index) {
    this.playing = false;
    this.index = Math.min(Math.max(index, 0), this.places.length - 1);
    this.changed();
  }

  /** Stop, and go some places on, or back. */
  move(places) {
    this.go(this.index + places);
  }

  /** Play, from the beginning if the end is reached; or pause. */
  toggle() {
    this.playing = !this.playing;
    if (this.playing && this.index === this.places.length - 1) this.index = 0;
    this.due = 0;
    this.before = null;
    this.changed();
  }

  setHalves(on) {
    const { step } = this.place;
    this.halves = on && this.hasHalves;
    this.places = this.makePlaces();
    this.index = this.places.findLastIndex((place) => place.step === step);
    this.changed();
  }

  /** A speed that is `by` places away in SPEEDS. */
  changeSpeed(by) {
    const at = SPEEDS.indexOf(this.speed) + by;
    this.speed = SPEEDS[Math.min(Math.max(at, 0), SPEEDS.length - 1)];
    this.changed();
  }

  /** Play on to `now`, in milliseconds. */
  tick(now) {
    if (!this.playing) return;
    const passed = Math.min(now - (this.before ?? now), LONGEST);
    this.before = now;
    this.due += (passed * this.speed) / 1000;
    const frames = Math.floor(this.due + 1e-6);
    if (frames < 1) return;
    this.due -= frames;
    this.index = Math.min(this.index + frames, this.places.length - 1);
    if (this.index === this.places.length - 1) this.playing = false;
    this.changed();
  }

  /** What a run shows now: {k, half, step}; k is -1 before its first frame. */
  momentOf(run) {
    const { step, half } = this.place;
    const k = latest(run.steps, step);
    const own = run.steps[k] === step && run.array("before"); // else it is an earlier frame
    return { k, half: own ? half : "g", step: run.steps[k] };
  }
}

/** The buttons, the slider and the keys. `page` has clock, options, redraw(), switchLanguage(). */
class Controls {
  constructor(page) {
    this.page = page;
    const find = (id) => document.getElementById(id);
    for (const id of ["play", "back", "forward", "scrub", "speed", "half", "optimal", "language"]) {
      this[id] = find(id);
    }
    this.text = find("step");
    this.halfText = find("halfStep");
    const { clock } = page;
    this.play.onclick = () => this.act(() => clock.toggle());
    this.back.onclick = () => this.act(() => clock.move(-1));
    this.forward.onclick = () => this.act(() => clock.move(1));
    this.scrub.oninput = () => this.act(() => clock.go(Number(this.scrub.value)));
    this.speed.onchange = () => {
      clock.speed = Number(this.speed.value);
      page.redraw();
    };
    this.half.onchange = () => this.act(() => clock.setHalves(this.half.checked));
    this.optimal.onchange = () => {
      page.options.optimal = this.optimal.checked;
      page.redraw();
    };
    this.language.onclick = () => this.act(() => page.switchLanguage());
    find("halfLabel").hidden = !clock.hasHalves;
    find("optimalLabel").hidden = !clock.runs.some((run) => run.array("optimal"));
    document.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Do something that the reader asked for, and say what has come of it. */
  act(what) {
    what();
    this.page.announce();
  }

  /** What each key does. Keys that a focused control itself needs are left to it. */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const { clock } = this.page;
    const kind = event.target.closest?.("button, select, summary, a, input[type=checkbox]");
    if (event.key === " " && kind) return;
    if (kind === this.speed && !"[]".includes(event.key)) return;
    const far = event.shiftKey ? 10 : 1;
    const does = {
      " ": () => clock.toggle(),
      ArrowLeft: () => clock.move(-far),
      ArrowRight: () => clock.move(far),
      Home: () => clock.move(-clock.places.length),
      End: () => clock.move(clock.places.length),
      "[": () => clock.changeSpeed(-1),
      "]": () => clock.changeSpeed(1),
      h: () => clock.setHalves(!clock.halves),
      o: () => this.optimal.closest("[hidden]") || this.optimal.click(),
      l: () => this.page.switchLanguage(),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!does) return;
    event.preventDefault();
    this.act(does);
  }

  /** Show the state of the clock. */
  show() {
    const { clock, options } = this.page;
    const { step, half } = clock.place;
    this.play.dataset.playing = clock.playing;
    this.play.setAttribute("aria-label", t(clock.playing ? "pause" : "play"));
    this.play.title = t(clock.playing ? "pause" : "play");
    this.scrub.max = clock.places.length - 1;
    this.scrub.value = clock.index;
    this.scrub.setAttribute("aria-valuetext", this.words());
    this.speed.value = clock.speed;
    this.half.checked = clock.halves;
    this.optimal.checked = options.optimal;
    this.text.dataset.step = step;
    this.text.dataset.half = half;
    this.text.textContent = t("step", { step: count(step), last: count(clock.lastStep) });
    this.halfText.textContent = clock.halves ? this.halfWords() : "";
  }

  halfWords() {
    const { step, half } = this.page.clock.place;
    if (step === 0) return t("beforeTraining");
    return t(half === "d" ? "halfD" : "halfG");
  }

  /** The step in words: "step 120 of 12,500, D has moved; G has not". */
  words() {
    const { clock } = this.page;
    const step = t("step", { step: count(clock.place.step), last: count(clock.lastStep) });
    return clock.halves ? `${step}, ${this.halfWords()}` : step;
  }

  /** Fill in the speeds, in the present language. */
  translate() {
    this.speed.replaceChildren(
      ...SPEEDS.map((frames) => {
        const option = document.createElement("option");
        option.value = frames;
        option.textContent = t("perSecond", { frames });
        return option;
      }),
    );
  }
}
