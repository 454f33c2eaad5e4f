"""A reader of a replay page: presses keys, uses the pointer, and reads what is shown."""

from __future__ import annotations

import re
from typing import Any

SOON = 4000  # ms, within which the page must have answered

#: The text of every element that shows some of its own, and the words for a screen reader.
TEXTS = """() => {
    const shown = [];
    const walk = (node) => {
        if (node.nodeType === Node.TEXT_NODE && node.data.trim()) shown.push(node.data.trim());
        if (node.nodeType !== Node.ELEMENT_NODE) return;
        if (node.matches("script, style, noscript, [hidden]")) return;
        for (const name of ["aria-label", "title", "placeholder", "aria-valuetext", "alt"]) {
            if (node.getAttribute(name)) shown.push(node.getAttribute(name));
        }
        node.childNodes.forEach(walk);
    };
    walk(document.body);
    return shown;
}"""

VALUES = """(run) => Object.fromEntries(
    [...document.querySelectorAll(`[data-run="${run}"] dd[data-name]`)].map(
        (dd) => [dd.dataset.name, dd.dataset.value]))"""

#: Every pixel of a canvas in one number, and in how many colours.
PIXELS = """(canvas) => {
    const { width, height } = canvas;
    const copy = document.createElement("canvas");
    Object.assign(copy, { width, height });
    const pen = copy.getContext("2d", { willReadFrequently: true });
    pen.drawImage(canvas, 0, 0);
    const words = new Uint32Array(pen.getImageData(0, 0, width, height).data.buffer);
    let hash = 0;
    for (const word of words) hash = (Math.imul(hash, 31) + word) | 0;
    return { hash, colours: new Set(words).size, corner: words[0] };
}"""

#: The lines of the tip with the pointer at each of some places.
SWEEP = """async (canvas, [places, y]) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const found = [];
    for (const x of places) {
        const at = { clientX: left + x * width, clientY: top + y * height };
        canvas.dispatchEvent(new PointerEvent("pointermove", { ...at, pointerType: "mouse" }));
        await new Promise(requestAnimationFrame);
        const tip = document.getElementById("tip");
        found.push(tip.hidden ? [] : [...tip.children].map((line) => line.textContent));
    }
    return found;
}"""


class Reader:
    """Of one page that shows a replay.

    Args:
        page: of Playwright, with the replay.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        try:
            page.locator("#step[data-step]").wait_for(timeout=SOON)
        except Exception:
            raise AssertionError("the page shows no step") from None

    def is_at(self, step: int, half: str = "g") -> None:
        """Wait until the page shows this step; fail if it does not."""
        wanted = f'#step[data-step="{step}"][data-half="{half}"]'
        if self.page.locator(wanted).count() == 0:
            try:
                self.page.locator(wanted).wait_for(state="attached", timeout=SOON)
            except Exception:
                raise AssertionError(f"not step {step} {half}, but {self.moment()}") from None

    def moment(self) -> tuple[int, str]:
        """The step that is shown, and its half: "d" or "g"."""
        step, half = self.page.evaluate(
            "(({ dataset }) => [dataset.step, dataset.half])(document.getElementById('step'))"
        )
        return int(step), half

    def values(self, run: int = 0) -> dict[str, float]:
        """The values that are shown of a run, by name; NaN where it has none."""
        found = self.page.evaluate(VALUES, run)
        return {name: float(value) if value else float("nan") for name, value in found.items()}

    def press(self, *keys: str) -> None:
        """Press these keys, one after another, wherever the focus is."""
        for key in keys:
            self.page.keyboard.press(key)

    def click(self, name: str) -> None:
        """Click the element with this id, as the pointer does."""
        self.page.click(f"#{name}", timeout=SOON)

    def toggle(self, name: str) -> None:
        """Click a checkbox, or its label where the box itself is not to be seen."""
        label = self.page.locator(f"label:has(#{name}), label[for={name}]").first
        label.click(timeout=SOON)

    def is_playing(self) -> bool:
        """Whether the clock runs, by what the button offers."""
        return self.page.get_attribute("#play", "data-playing") == "true"

    def canvas(self, view: str, run: int = 0) -> Any:
        """The locator of a view's canvas."""
        return self.page.locator(f'[data-run="{run}"] canvas[data-view="{view}"]')

    def pixels(self, view: str, run: int = 0) -> dict[str, int]:
        """Of a view's canvas: "hash" of all pixels, number of "colours", the first pixel."""
        self.settle()
        return self.canvas(view, run).evaluate(PIXELS)

    def take_clock(self) -> None:
        """From here on, time passes only when the test says so."""
        self.page.clock.install(time=0)
        self.page.clock.pause_at(1000)

    def settle(self) -> None:
        """Wait until what has changed is drawn."""
        self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def texts(self) -> list[str]:
        """Every text on the page that can be seen or heard."""
        return self.page.evaluate(TEXTS)

    def tip_at(self, view: str, x: float, y: float, run: int = 0) -> str:
        """The tip's text with the pointer at (x, y), as shares of the canvas; "" without a tip."""
        self.canvas(view, run).evaluate("(canvas) => canvas.scrollIntoView({ block: 'center' })")
        box = self.canvas(view, run).bounding_box()
        self.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        self.settle()
        tip = self.page.locator("#tip")
        return tip.inner_text() if tip.is_visible() else ""

    def tips(
        self, view: str, y: float, count: int = 40, run: int = 0
    ) -> list[tuple[float, list[str]]]:
        """(x, lines of the tip) along a line across the canvas, at those of `count` places that
        have a tip. The pointer goes to the first one; to the others it is only said to go.
        """
        places = [(i + 0.5) / count for i in range(count)]
        first = self.tip_at(view, places[0], y, run)
        tips = self.canvas(view, run).evaluate(SWEEP, [places, y])
        assert tips[0] == first.splitlines(), "the real pointer has another tip"
        return [(x, tip) for x, tip in zip(places, tips, strict=True) if tip]


def numbers(text: str) -> list[float]:
    """The numbers of a text, as the page writes them."""
    plain = text.replace("\N{MINUS SIGN}", "-").replace(",", "")
    return [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", plain)]
