// One run: what became of it, its steps in three views of one order and one selection, and the step that is chosen.

import { get, path } from "./api.js";
import { Bars, narrow, nextFailure } from "./bars.js";
import { announce, fill, h, redraw } from "./dom.js";
import { head } from "./runhead.js";
import { keys } from "./keys.js";
import { Panel } from "./panel.js";
import { Raw } from "./raw.js";
import { Rows } from "./rows.js";
import { change, query as now } from "./router.js";
import { Timeline } from "./timeline.js";
import { toolbar, views } from "./toolbar.js";
import { line } from "./line.js";

/** How often a run that is open is read again, while it is short. */
const AGAIN = 3000;
const SHORT = 2000;

/** The view of `/flows/{id}`. */
export function run(place, { parts: [id], query, signal }) {
  const view = new Run(place, id, query, signal);
  view.read();
  return { update: (values) => view.update(values) };
}

class Run {
  constructor(place, id, query, signal) {
    Object.assign(this, { id, query, signal, place, list: [] });
    this.bars = new Bars(id);
    this.raw = new Raw(id, signal, () => this.rows.redraw());
    this.timeline = new Timeline(() => this.rows.redraw(), signal);
    this.rows = new Rows({
      label: "Steps", height: 28,
      draw: (index, element) => line(this, this.list[index], element),
      choose: (index) => this.choose(index),
    });
    this.panel = new Panel(id, signal, (step) => this.move(step));
    this.head = h("div", { class: "head" }, h("h1", {}, "…"));
    this.tools = h("div", { class: "toolbar" });
    this.tabs = h("nav", { class: "tabs", "aria-label": "Views" });
    this.note = h("p", { class: "note", hidden: true });
    place.className = "run";
    fill(place, this.head, this.tools, this.note,
      h("div", { class: "ruler" }, h("div", {}, this.timeline.map.element), h("div", {}, this.timeline.axis)),
      h("div", { class: "lines" }, this.timeline.bands, this.rows.element), this.panel.element);
    this.wheel();
    keys("Run", this.keys(), signal);
    signal.addEventListener("abort", () => this.rows.close());
  }

  /** Reads the run and its steps, side by side. */
  async read() {
    const detail = get(`flows/${path(this.id)}`, {}, this.signal).then((answer) => {
      // An open run is read again and again, and mostly nothing is new.
      if (JSON.stringify(answer) === JSON.stringify(this.detail)) return;
      this.detail = answer;
      redraw(this.head, head(answer, this));
      document.title = `${answer.flow?.flow ?? this.id} · flowtrail`;
      this.panel.flow(answer);
    });
    const steps = this.bars.read(this.signal, () => this.arrange());
    try {
      await Promise.all([detail, steps]);
    } catch (problem) {
      if (problem.name !== "AbortError") this.trouble(problem);
      return;
    }
    this.update(now());
    if (this.bars.open && this.bars.total < SHORT) this.later();
  }

  trouble(problem) {
    const text = problem.status === 404 ? "There is no such run, or you may not see it." : problem.message;
    if (!this.detail) fill(this.head, h("h1", {}, "Run"), h("p", { class: "id" }, this.id));
    this.note.hidden = false;
    this.note.className = "note bad";
    this.note.setAttribute("role", "alert");
    this.note.textContent = problem.status === 413 ? `${text}. Its steps can be read one page at a time: flowtrail flow show.` : text;
  }

  later() {
    const timer = setTimeout(() => (document.hidden ? this.later() : this.read()), AGAIN);
    this.signal.addEventListener("abort", () => clearTimeout(timer));
  }

  /** What is shown follows from the address. */
  update(query) {
    const before = this.query;
    this.query = query;
    const shape = ["view", "find", "only"].some((name) => before[name] !== query[name]);
    if (shape || !this.drawn) this.arrange();
    else this.select();
  }

  get view() {
    return ["compact", "raw"].includes(this.query.view) ? this.query.view : "timeline";
  }

  arrange() {
    if (!this.bars.own) return;
    this.drawn = true;
    this.list = narrow(this.bars.list, this.query.find ?? "", this.query.only === "failed");
    this.place.dataset.view = this.view;
    if (this.view === "raw") this.raw.read();
    this.timeline.read(this.bars, this.list);
    redraw(this.tools, toolbar(this));
    this.rows.set(this.list.length);
    this.note.hidden = this.list.length > 0;
    if (!this.list.length) this.note.textContent = this.bars.total ? "No step matches what is looked for." : "No step of it is stored.";
    this.select();
  }

  /** Marks the chosen step and shows it. */
  select() {
    const { step, of } = this.query;
    const index = step === undefined ? -1 : Bars.find(this.list, step, of ?? this.id);
    this.index = index;
    redraw(this.tabs, views(this));
    this.rows.choose(index);
    const bar = this.list[index] ?? (step === undefined ? null : { kind: "step", id: step, of: of ?? this.id });
    this.panel.show(bar, this.query, this.detail);
  }

  choose(index) {
    const bar = this.list[index];
    if (!bar) return;
    change({ step: bar.id, of: bar.of === this.id ? "" : bar.of, execution: "" }, this.query.step !== undefined);
    announce(`${bar.task ?? bar.flow ?? "step"} ${bar.id}, ${bar.status ?? bar.state}, ${index + 1} of ${this.list.length}`);
  }

  /** The step so many further; at the ends it stays. */
  move(by) {
    const from = this.index ?? -1;
    this.choose(from < 0 ? (by > 0 ? 0 : this.list.length - 1) : Math.min(Math.max(from + by, 0), this.list.length - 1));
  }

  /** The first failure, if none is chosen, or the next one in a direction. */
  failure(direction) {
    const from = this.index >= 0 ? this.index : direction > 0 ? -1 : 0;
    const found = nextFailure(this.list, from, direction);
    if (found < 0) announce("No step failed");
    else this.choose(found);
  }

  async toggle(bar) {
    await this.bars.toggle(bar, this.signal);
    this.arrange();
  }

  wheel() {
    this.rows.element.addEventListener("wheel", (event) => {
      const track = event.target.closest?.(".row")?.querySelector(".track");
      if (!track || this.view !== "timeline") return;
      if (event.ctrlKey) {
        const { left, width } = track.getBoundingClientRect();
        this.timeline.zoom(event.deltaY > 0 ? 1.25 : 0.8, (event.clientX - left) / width);
        event.preventDefault();
      } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        this.timeline.pan((event.shiftKey ? event.deltaY || event.deltaX : event.deltaX) / 1000);
        event.preventDefault();
      }
    }, { passive: false });
    this.rows.element.addEventListener("dblclick", () => this.list[this.index] && this.timeline.lookAt(this.list[this.index]));
  }

  keys() {
    const page = () => Math.max(Math.floor(this.rows.element.clientHeight / this.rows.height) - 1, 1);
    const zoom = (act) => () => (this.view === "timeline" ? act() : false);
    return [
      [["j", "ArrowDown"], "Next step", () => this.move(1)],
      [["k", "ArrowUp"], "Step before", () => this.move(-1)],
      [["PageDown"], "A page on", () => this.move(page())],
      [["PageUp"], "A page back", () => this.move(-page())],
      [["Home"], "First step", () => this.choose(0)],
      [["End"], "Last step", () => this.choose(this.list.length - 1)],
      [["f", "n"], "First failure, then the next", () => this.failure(1)],
      [["p"], "Failure before", () => this.failure(-1)],
      [["1"], "Timeline", () => change({ view: "" })],
      [["2"], "Compact", () => change({ view: "compact" })],
      [["3"], "Raw", () => change({ view: "raw" })],
      [["+", "="], "Closer", zoom(() => this.timeline.zoom(0.5))],
      [["-"], "Farther", zoom(() => this.timeline.zoom(2))],
      [["0"], "The whole run", zoom(() => this.timeline.fit())],
      [["z"], "Closer to the chosen step", zoom(() => this.list[this.index] && this.timeline.lookAt(this.list[this.index]))],
      [["ArrowLeft"], "Earlier", zoom(() => this.timeline.pan(-0.2))],
      [["ArrowRight"], "Later", zoom(() => this.timeline.pan(0.2))],
      [["i"], "Idle stretches short or long", () => this.tools.querySelector("#cut")?.click()],
      [["e"], "Open or close what was called", () => this.list[this.index]?.kind === "flow" && this.toggle(this.list[this.index])],
      [["/"], "Find a step", () => this.tools.querySelector("#find")?.focus()],
      [["Enter"], "To the payloads", () => this.panel.focus()],
      [["Escape"], "Choose none", () => change({ step: "", of: "", execution: "" })],
    ];
  }
}
