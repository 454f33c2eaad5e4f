// The page: built from its runs, drawn when something has changed.

const READABLE = 80; // milliseconds for which a number stays at least, while the clock runs

/** The name of a view in the page: "density" for DensityView. */
function viewName(View) {
  return View.name.replace("View", "").toLowerCase();
}

/** One run on the page: its heading, its panels and its numbers. */
class RunSection {
  constructor(page, run, index) {
    this.page = page;
    this.run = run;
    this.report = new Report(run, index, page.runs.length === 1);
    const views = VIEWS.filter((View) => View.fits(run)); // the first is the largest
    this.panels = views.map((View) => new Panel(page, run, viewName(View), new View(run)));
    this.about = element("p", "about");
    this.note = element("p", "note");
    this.summary = element("summary");
    const settings = element("details", "about", this.summary, this.recipe());
    const heading = element("header", "", element("h2", "", run.name), this.about, this.note, settings);
    const pictures = element("div", "views", ...this.panels.map((panel) => panel.element));
    const [main, ...others] = this.panels.map(({ view }) => 1 / view.aspect); // width / height
    const rest = others.length ? Math.max(...others) / others.length : 0;
    pictures.style.setProperty("--others", Math.max(others.length, 1));
    pictures.style.setProperty("--spread", main + rest); // width of both columns / height
    this.element = element("section", "run", heading, element("div", "body", pictures));
    this.element.dataset.run = index;
  }

  /** The settings of the run as a table. */
  recipe() {
    const rows = Object.entries(this.run.recipe).map(([name, value]) => {
      const title = element("th", "", name);
      title.scope = "row";
      return element("tr", "", title, element("td", "", JSON.stringify(value)));
    });
    return element("table", "recipe", element("tbody", "", ...rows));
  }

  translate() {
    const { about } = this.run;
    const words = [];
    if (about.recipe !== undefined) words.push(t("about", about));
    if (about.game) words.push(t("aboutGame", about));
    this.about.textContent = words.join(language === "zh" ? "；" : "; ");
    this.summary.textContent = t("settings");
    this.panels.forEach((panel) => panel.translate());
    this.report.translate();
  }

  show() {
    const { step } = this.page.clock.place;
    const moment = this.page.momentOf(this.run);
    const { steps } = this.run;
    const end = steps[steps.length - 1];
    let words = "";
    if (moment.k < 0) words = t("late", { step: count(steps[0]) });
    else if (step > end) words = t("ended", { step: count(end) });
    else if (moment.step !== step) words = t("shows", { step: count(moment.step) });
    if (this.note.textContent !== words) this.note.textContent = words;
    this.report.show(moment, step);
  }
}

class Page {
  constructor(runs) {
    this.runs = runs;
    this.options = { optimal: !runs.some((run) => run.form === "plane") };
    this.dirty = new Set(); // panels to draw
    this.waiting = null; // the request for the next drawing
    this.after = []; // to do after it
    this.clock = new Clock(runs, () => this.redraw());
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    if (this.calm.matches) this.clock.speed = CALM;
    this.tip = new Tip();
    this.live = document.getElementById("live");
    this.sections = runs.map((run, i) => new RunSection(this, run, i));
    this.reports = this.sections.map((section) => section.report);
    this.timeline = new Timeline(this);
    this.panels = [...this.sections.flatMap((section) => section.panels), this.timeline];
    this.controls = new Controls(this);
  }

  /** Put everything on the page. */
  start() {
    document.getElementById("runs").append(...this.sections.map((section) => section.element));
    const values = element("div", "");
    values.id = "values";
    this.sections.length === 1
      ? this.sections[0].element.querySelector(".body").append(values)
      : document.getElementById("runs").after(values);
    values.append(...this.reports.map((report) => report.element));
    document.getElementById("dock").hidden = false;
    this.translate();
    this.panels.forEach((panel) => panel.start());
    this.timeline.renew();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour());
  }

  momentOf(run) {
    return { ...this.clock.momentOf(run), options: this.options };
  }

  /** Draw one panel, or all of them and the numbers, before the next frame is on the screen. */
  redraw(panel = null) {
    if (panel) this.dirty.add(panel);
    else {
      this.panels.forEach((one) => this.dirty.add(one));
      this.changed = true;
    }
    this.waiting ??= requestAnimationFrame((now) => this.draw(now));
  }

  draw(now) {
    this.waiting = null;
    this.clock.tick(now);
    // First the pictures: text on a canvas waits for the style of what has changed on the page.
    const panels = [...this.dirty];
    this.dirty.clear();
    panels.forEach((panel) => panel.draw());
    if (this.changed) this.controls.show();
    this.numbersAreOld ||= this.changed;
    this.changed = false;
    if (this.numbersAreOld && !(this.clock.playing && now - this.numbersAt < READABLE)) {
      this.numbersAreOld = false;
      this.numbersAt = now;
      this.sections.forEach((section) => section.show());
    }
    this.after.splice(0).forEach((call) => call());
    // While the clock runs, there is a next drawing, even if this one has changed nothing.
    if (this.clock.playing) this.waiting ??= requestAnimationFrame((next) => this.draw(next));
  }

  /** Call something after the next drawing. */
  afterDrawing(call) {
    this.after.push(call);
  }

  recolour() {
    this.panels.forEach((panel) => panel.pen.recolour());
    this.timeline.renew();
    this.redraw();
  }

  /** Say something to a screen reader. */
  say(text) {
    this.live.textContent = text;
  }

  /** Say where the clock is, after the reader moved it. */
  announce() {
    const { clock } = this;
    const step = count(clock.place.step);
    if (clock.playing) {
      this.say(t("playing", { step }));
      return;
    }
    const runs = this.runs.map((run, i) => {
      const { k } = clock.momentOf(run);
      if (k < 0) return "";
      const failures = run.failures(clock.place.step).map(({ name }) => healthWords(name).text);
      return [run.name, this.reports[i].words(k), ...failures].join(", ");
    });
    this.say([this.controls.words(), ...runs].filter(Boolean).join(language === "zh" ? "。" : ". "));
  }

  switchLanguage() {
    setLanguage(language === "en" ? "zh" : "en");
    this.translate();
  }

  /** Put the words of the present language everywhere. */
  translate() {
    translateDocument();
    this.controls.translate();
    this.sections.forEach((section) => section.translate());
    if (this.timeline.pen) this.timeline.renew();
    this.redraw();
  }
}

/** The words of the elements that page.html names. */
function translateDocument() {
  document.documentElement.lang = t("lang");
  document.title = t("title");
  for (const one of document.querySelectorAll("[data-words]")) one.textContent = t(one.dataset.words);
  for (const one of document.querySelectorAll("[data-label]")) {
    one.setAttribute("aria-label", t(one.dataset.label));
    if (one.matches("button")) one.title = t(one.dataset.label);
  }
  for (const one of document.querySelectorAll("[data-help]")) one.title = t(one.dataset.help);
  const button = document.getElementById("language");
  button.textContent = t("other");
  button.setAttribute("aria-label", t("otherLabel"));
  const keys = t("keysWith").flatMap(([key, does]) => [element("dt", "", key), element("dd", "", does)]);
  document.getElementById("keys").replaceChildren(...keys);
}

/** One sentence in place of, or above, the page. */
function showError(key, values) {
  const box = document.getElementById("error");
  box.textContent = t(key, values);
  box.hidden = false;
}

window.addEventListener("error", ({ message }) => {
  if (message.startsWith("ResizeObserver")) return; // a size changed twice: it is drawn again
  showError("errorUnexpected", { message });
});
window.addEventListener("unhandledrejection", ({ reason }) => {
  showError("errorUnexpected", { message: String(reason?.message ?? reason) });
});
if (navigator.language?.toLowerCase().startsWith("zh")) setLanguage("zh");
translateDocument();
readRuns().then(
  (runs) => new Page(runs).start(),
  (error) => showError(error.key, error.values),
);
