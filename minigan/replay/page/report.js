// A run's numbers at the present step, and what the health check says there.

const MEASURED = ["auc", "g_grad", "diversity"]; // of the history, next to the health check

// How each loss is drawn: [CSS variable, dashes]. Others take their turn in OTHER_LOOKS.
const LOOKS = { d_real: ["d", []], d_fake: ["d", [6, 4]], g: ["fake", []] };
const OTHER_LOOKS = [["real", []], ["optimal", [2, 3]], ["muted", []], ["real", [6, 4]]];

/** The look of each loss on a run's time line: {name: [colour, dashes]}. */
function looksOf(run) {
  const others = run.players.filter((name) => !(name in LOOKS));
  const look = (name) => LOOKS[name] ?? OTHER_LOOKS[others.indexOf(name) % OTHER_LOOKS.length];
  return Object.fromEntries(run.players.map((name) => [name, look(name)]));
}

class Report {
  /** alone: whether this is the only run on the page, which needs no name here. */
  constructor(run, index, alone) {
    this.run = run;
    this.alone = alone;
    this.element = element("section", "report");
    this.element.dataset.run = index;
    this.heading = element("h3");
    this.losses = element("dl", "numbers");
    this.others = element("dl", "numbers");
    this.measures = element("dl", "numbers");
    this.health = element("div", "health");
    this.healthHeading = element("h3");
    this.element.append(
      this.heading, this.losses, this.others, this.healthHeading, this.health, this.measures,
    );
    this.cells = new Map(); // name -> dd
    this.fill();
  }

  /** Make a cell for each number that was recorded. */
  fill() {
    const { run } = this;
    const looks = looksOf(run);
    const recorded = Object.keys(run.values);
    const losses = Object.keys(run.columns).filter((name) => recorded.includes(name));
    for (const name of losses) this.addCell(this.losses, name, looks[name]);
    for (const name of recorded) if (!losses.includes(name)) this.addCell(this.others, name);
    for (const name of MEASURED) if (run.history[name]) this.addCell(this.measures, name);
  }

  addCell(list, name, look) {
    const term = element("dt");
    const cell = element("dd", "", "");
    if (look) {
      const swatch = element("i", "swatch");
      swatch.style.setProperty("--line", `var(--${look[0]})`);
      if (look[1].length) swatch.style.setProperty("--dashes", "dashed");
      term.append(swatch);
    }
    term.append(element("span"));
    cell.dataset.name = name;
    list.append(element("div", "", term, cell));
    this.cells.set(name, cell);
  }

  /** The title of a number in the present language. */
  title(name) {
    return hasWords(name) ? t(name) : (this.run.columns[name] ?? name.replaceAll("_", " "));
  }

  translate() {
    this.heading.textContent = this.alone ? t("now") : t("nowOf", { name: this.run.name });
    for (const [name, cell] of this.cells) {
      const term = cell.previousSibling;
      term.querySelector("span").textContent = this.title(name);
      if (hasWords(`${name}Help`)) term.title = t(`${name}Help`);
    }
    this.shown = null;
  }

  /** Show the numbers of a moment: {k, step}, at the step of the clock. */
  show(moment, step) {
    const { run } = this;
    for (const name of Object.keys(run.values)) this.set(name, run.value(name, moment.k));
    const measures = moment.k < 0 ? null : run.measures(step);
    for (const name of MEASURED) this.set(name, measures?.[name] ?? NaN);
    this.measures.hidden = !measures;
    const failures = moment.k < 0 ? [] : run.failures(step);
    const key = JSON.stringify([failures, measures?.step]);
    if (key === this.shown) return;
    this.shown = key;
    this.healthHeading.textContent = measures
      ? t("measures", { step: count(measures.step) })
      : t("notMeasured");
    const lines = failures.map((failure) => this.failure(failure));
    if (measures && !lines.length) lines.push(element("p", "", t("sound")));
    this.health.replaceChildren(...lines);
  }

  set(name, value) {
    const cell = this.cells.get(name);
    if (!cell || cell.dataset.value === String(value)) return;
    cell.dataset.value = value;
    cell.firstChild.data = number(value);
  }

  failure({ name, measure, advice }) {
    const part = (tag, sentence) => {
      const { text, lang } = healthWords(sentence);
      const made = element(tag, "", text);
      made.lang = lang;
      return made;
    };
    const line = element("p", "failure");
    line.append(part("strong", name), " (", part("span", measure), "): ", part("span", advice));
    return line;
  }

  /** The losses in words: "D real 0.690, D fake 0.700, G 0.690". */
  words(k) {
    const { players } = this.run;
    return players.map((name) => `${this.title(name)} ${number(this.run.value(name, k))}`).join(", ");
  }
}
