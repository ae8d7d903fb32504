// The whole of a run in a strip; the part that is looked at can be moved and stretched.

import { h } from "./dom.js";

const LEAST = 6;

/** `look(from, to)` is called with places on the scale, until `signal`. */
export class Minimap {
  constructor(look, signal) {
    this.look = look;
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.frame = h("div", { class: "window", "aria-hidden": "true" });
    this.element = h("div", { class: "minimap", role: "img", "aria-label": "The whole run; + and − zoom, arrows move", onpointerdown: (event) => this.drag(event) },
      this.canvas, this.frame);
    const watcher = new ResizeObserver(() => this.paint());
    watcher.observe(this.element);
    signal.addEventListener("abort", () => watcher.disconnect());
    addEventListener("themechange", () => this.paint(), { signal });
  }

  /** Draws what there is, if it is not drawn yet, and where the view is. */
  draw(scale, [from, to], list) {
    const other = this.scale !== scale || this.list !== list;
    Object.assign(this, { scale, list });
    this.frame.style.setProperty("left", `${(100 * from) / scale.total}%`);
    this.frame.style.setProperty("width", `${(100 * (to - from)) / scale.total}%`);
    if (other) this.paint();
  }

  paint() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width || !this.list) return;
    const ratio = devicePixelRatio || 1;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const colours = new Map();
    const colour = (state) => {
      if (!colours.has(state)) {
        // A canvas knows nothing of the style sheet: what a bar of this state would have is read from one.
        this.frame.className = `window state-${state}`;
        colours.set(state, getComputedStyle(this.frame).color);
      }
      return colours.get(state);
    };
    const line = Math.min(height / Math.max(this.list.length, 1), 3);
    const whole = this.scale.total;
    // Failed ones last, so that nothing hides them.
    for (const failed of [false, true]) {
      this.list.forEach((bar, at) => {
        if ((bar.state === "failed") !== failed) return;
        pen.fillStyle = colour(bar.state);
        const left = (this.scale.at(bar.start_ms) / whole) * width;
        const right = (this.scale.at(bar.end_ms ?? Infinity) / whole) * width;
        pen.fillRect(left, (at / this.list.length) * (height - line), Math.max(right - left, failed ? 2 : 1), Math.max(line, failed ? 2 : 1));
      });
    }
  }

  /** From where the pointer goes down to where it goes up is looked at; a click moves the view there. */
  drag(event) {
    const { left, width } = this.element.getBoundingClientRect();
    const place = (at) => Math.min(Math.max((at.clientX - left) / width, 0), 1) * this.scale.total;
    const begin = place(event);
    const size = parseFloat(this.frame.style.getPropertyValue("width")) * this.scale.total / 100;
    const move = (to) => {
      if (Math.abs(to.clientX - event.clientX) >= LEAST) this.look(...[begin, place(to)].sort((a, b) => a - b));
    };
    const up = (to) => {
      this.element.removeEventListener("pointermove", move);
      if (Math.abs(to.clientX - event.clientX) < LEAST && size < this.scale.total) this.look(begin - size / 2, begin + size / 2);
    };
    this.element.setPointerCapture(event.pointerId);
    this.element.addEventListener("pointermove", move);
    this.element.addEventListener("pointerup", up, { once: true });
    event.preventDefault();
  }
}
