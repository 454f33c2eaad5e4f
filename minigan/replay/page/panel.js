// One picture on the page: a canvas, the view that draws it, and reading values from it.

const STRIDE = 8; // pixels that an arrow key moves the reading cross
const FAR = 40; // the same with Shift

/** An element with a class and children, which may be text. */
function element(tag, className = "", ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** The little box with the values at the pointer. Only one is open at a time. */
class Tip {
  constructor() {
    this.box = document.getElementById("tip");
    this.owner = null;
    document.addEventListener("scroll", () => this.close(), { passive: true });
    document.addEventListener("pointerdown", (event) => {
      if (this.owner && !this.owner.canvas.contains(event.target)) this.close();
    });
  }

  /** Show lines next to a place (x, y) of the owner's canvas. */
  open(owner, lines, x, y) {
    if (this.owner !== owner) this.close();
    this.owner = owner;
    this.box.replaceChildren(...lines.map((line) => element("div", "", line)));
    this.box.hidden = false;
    const { left, top } = owner.canvas.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.box;
    const above = top + y - height - 14;
    this.box.style.left = `${Math.min(Math.max(left + x + 14, 4), innerWidth - width - 4)}px`;
    this.box.style.top = `${above > 4 ? above : top + y + 18}px`;
  }

  /** Close the box, of an owner or of any. */
  close(owner = this.owner) {
    if (!owner || owner !== this.owner) return;
    this.box.hidden = true;
    this.owner = null;
    owner.left();
  }
}

/** A view on the page. `page` has tip, redraw(panel), momentOf(run), say(text). */
class Panel {
  constructor(page, run, name, view) {
    this.page = page;
    this.run = run;
    this.view = view;
    this.at = null; // where the pointer is, or the reading cross: {x, y} in pixels of the canvas
    this.byKeys = false; // it is the cross
    this.visible = true; // some of the canvas is in the window
    this.heading = element("h3");
    this.canvas = element("canvas");
    this.canvas.dataset.view = name;
    this.canvas.setAttribute("role", "img");
    this.canvas.tabIndex = 0;
    this.element = element("figure", "view", this.heading, this.canvas);
    this.element.style.setProperty("--aspect", view.aspect);
    this.listen();
  }

  /** Begin to draw; the canvas is on the page. */
  start() {
    this.pen = new Pen(this.canvas);
    new ResizeObserver(() => {
      this.pen.resize();
      this.page.redraw(this);
    }).observe(this.canvas);
    new IntersectionObserver(([{ isIntersecting }]) => {
      this.visible = isIntersecting;
    }).observe(this.canvas);
  }

  listen() {
    const { canvas } = this;
    const move = (event) => {
      this.byKeys = false;
      this.at = { x: event.offsetX, y: event.offsetY };
      this.page.redraw(this);
    };
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("pointerdown", move);
    canvas.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "touch") this.left(); // a tap's values stay until the next tap
    });
    canvas.addEventListener("mousedown", (event) => event.preventDefault()); // takes no focus
    canvas.addEventListener("focus", () => this.read(0, 0, t("reading")));
    canvas.addEventListener("blur", () => this.left());
    canvas.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** The pointer or the focus has left. */
  left() {
    if (!this.at) return;
    this.at = null;
    this.byKeys = false;
    this.page.tip.close(this);
    this.page.redraw(this);
  }

  onKey(event) {
    if (event.key === "Escape" && this.byKeys) {
      this.left();
      event.preventDefault();
      return;
    }
    const by = event.shiftKey ? FAR : STRIDE;
    const moves = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] };
    const move = moves[event.key];
    if (!move || !this.byKeys || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.read(...move);
  }

  /** Move the reading cross and say what is there. */
  read(dx, dy, first = "") {
    const { width, height } = this.pen;
    const { x, y } = this.byKeys && this.at ? this.at : { x: width / 2, y: height / 2 };
    this.byKeys = true;
    this.at = {
      x: Math.min(Math.max(x + dx, 0), width - 1),
      y: Math.min(Math.max(y + dy, 0), height - 1),
    };
    this.page.redraw(this);
    this.page.afterDrawing(() => {
      const lines = this.found?.lines ?? [];
      this.page.say([first, ...lines].filter(Boolean).join(" "));
    });
  }

  /** Draw the moment of the run, and the values at the pointer. */
  draw() {
    if (this.page.clock.playing && !this.visible) return; // the end of playing draws all
    const moment = this.page.momentOf(this.run);
    if (moment.k < 0) {
      this.pen.begin();
      this.canvas.setAttribute("aria-label", t("late", { step: count(this.run.steps[0]) }));
      return;
    }
    this.view.draw(this.pen, moment);
    if (!this.page.clock.playing) this.describe(moment);
    if (!this.at) return;
    const { x, y } = this.at;
    this.found = this.view.hover(this.pen, moment, x, y);
    if (this.found) {
      const { lines, mark } = this.found;
      if (mark) this.pen.ring(mark.x, mark.y);
      this.page.tip.open(this, lines, mark?.x ?? x, mark?.y ?? y);
    } else if (this.page.tip.owner === this) {
      this.page.tip.box.hidden = true;
    }
    if (this.byKeys) this.cross(x, y);
  }

  cross(x, y) {
    const { ctx, colours } = this.pen;
    ctx.strokeStyle = colours.ink;
    ctx.lineWidth = 1.5;
    ctx.beginPath();
    ctx.moveTo(x - 12, y);
    ctx.lineTo(x + 12, y);
    ctx.moveTo(x, y - 12);
    ctx.lineTo(x, y + 12);
    ctx.stroke();
  }

  describe(moment) {
    const words = this.view.describe(moment);
    if (this.canvas.getAttribute("aria-label") !== words) this.canvas.setAttribute("aria-label", words);
  }

  translate() {
    this.heading.textContent = t(this.view.title);
  }
}
