// A list of very many lines of one height, of which only those that can be seen are on the page.

import { fill, h } from "./dom.js";

/** Lines above and below what is seen, so that a quick turn of the wheel finds them drawn. */
const SPARE = 12;

/** A list box. `draw(index, line)` fills a line, `choose(index)` is called for a click. */
export class Rows {
  constructor({ label, height, draw, choose }) {
    this.height = height;
    this.draw = draw;
    this.count = 0;
    this.chosen = -1;
    this.lines = new Map();
    this.body = h("div", { class: "rows-body", role: "presentation" });
    this.element = h("div", { class: "rows", role: "listbox", tabindex: "0", "aria-label": label,
      style: { "--row": `${height}px` }, onscroll: () => this.soon() }, this.body);
    this.body.addEventListener("click", (event) => {
      const line = event.target.closest(".row");
      if (line) choose(Number(line.dataset.index));
    });
    // What stands above has to end where the scroll bar begins.
    this.watcher = new ResizeObserver(() => {
      const { offsetWidth, clientWidth } = this.element;
      document.documentElement.style.setProperty("--scrollbar", `${offsetWidth - clientWidth}px`);
      this.soon();
    });
    this.watcher.observe(this.element);
  }

  /** There are so many lines now, all of them to be drawn again. */
  set(count) {
    this.count = count;
    this.body.style.setProperty("height", `${count * this.height}px`);
    this.redraw();
  }

  /** Draws again what can be seen. */
  redraw() {
    this.lines.clear();
    this.body.replaceChildren();
    this.show();
  }

  soon() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.show();
    });
  }

  show() {
    const { scrollTop, clientHeight } = this.element;
    const first = Math.max(Math.floor(scrollTop / this.height) - SPARE, 0);
    const last = Math.min(Math.ceil((scrollTop + clientHeight) / this.height) + SPARE, this.count);
    for (const [index, line] of this.lines) {
      if (index < first || index >= last) {
        line.remove();
        this.lines.delete(index);
      }
    }
    for (let index = first; index < last; index += 1) {
      if (this.lines.has(index)) continue;
      const line = h("div", { class: "row", role: "option", id: `row-${index}`, "data-index": index,
        "aria-setsize": this.count, "aria-posinset": index + 1, "aria-selected": String(index === this.chosen) });
      line.style.setProperty("transform", `translateY(${index * this.height}px)`);
      this.draw(index, line);
      this.lines.set(index, line);
      this.body.append(line);
    }
  }

  /** Marks a line, and brings it into view unless it can be seen. */
  choose(index) {
    this.lines.get(this.chosen)?.setAttribute("aria-selected", "false");
    this.chosen = index;
    if (index < 0) return this.element.removeAttribute("aria-activedescendant");
    const { scrollTop, clientHeight } = this.element;
    const top = index * this.height;
    if (top < scrollTop || top + this.height > scrollTop + clientHeight) {
      this.element.scrollTop = Math.max(top - clientHeight / 3, 0);
    }
    this.show();
    this.lines.get(index)?.setAttribute("aria-selected", "true");
    this.element.setAttribute("aria-activedescendant", `row-${index}`);
  }

  /** Draws one line again, if it can be seen. */
  update(index) {
    const line = this.lines.get(index);
    if (line) {
      fill(line);
      this.draw(index, line);
    }
  }

  /** Ends. */
  close() {
    this.watcher.disconnect();
    cancelAnimationFrame(this.waiting);
  }
}
