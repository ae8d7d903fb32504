// What is posted, as it is posted.

import { follow, path } from "./api.js";
import { append, badge, fill, h } from "./dom.js";
import { keys } from "./keys.js";
import { address, change } from "./router.js";
import { number, time } from "./time.js";

/** As many lines as stay on the page, and as many as wait while it is paused. */
const LINES = 500;
const AGAIN = [500, 1000, 2000, 5000, 10_000];

/** The view of `/tail`. */
export function tail(place, { query, signal }) {
  place.className = "tail";
  const view = new Tail(signal);
  fill(place, h("h1", {}, "Live"), view.form, view.state, view.list);
  keys("Live", [[[" ", "s"], "Pause, or go on", () => view.pause()], [["c"], "Clear", () => view.clear()]], signal);
  view.begin(query);
  return { update: (values) => view.begin(values) };
}

class Tail {
  constructor(signal) {
    Object.assign(this, { signal, paused: false, waiting: [], missed: 0, last: null, drawn: 0 });
    this.form = h("form", { class: "filters", onsubmit: (event) => event.preventDefault() });
    this.state = h("p", { class: "stream", role: "status" });
    this.list = h("ol", { class: "events", "aria-label": "Events, newest first" });
    signal.addEventListener("abort", () => this.asking?.abort());
  }

  begin(query) {
    this.fields(query);
    this.asking?.abort();
    this.asking = new AbortController();
    this.last = null;
    this.listen(query, this.asking.signal);
  }

  fields(query) {
    const enter = (event) => change({ [event.target.name]: event.target.type === "checkbox" ? (event.target.checked ? "true" : "") : event.target.value.trim() }, true);
    const field = (name, label) => h("div", { class: "field" }, h("label", { for: `tail-${name}` }, label),
      h("input", { id: `tail-${name}`, name, value: query[name] ?? "", type: "search", onchange: enter }));
    const kinds = ["", "flow", "step", "rewind", "deleted", "snapshot", "variable"];
    this.button = h("button", { type: "button", class: "main", onclick: () => this.pause() });
    fill(this.form,
      h("div", { class: "field" }, h("label", { for: "tail-kind" }, "Kind"), h("select", { id: "tail-kind", name: "kind", onchange: enter },
        kinds.map((kind) => h("option", { value: kind, selected: kind === (query.kind ?? "") }, kind || "any")))),
      field("flow", "Flow"), field("app", "App"), field("id", "Id"),
      h("label", { class: "check" }, h("input", { type: "checkbox", name: "failed", checked: query.failed === "true", onchange: enter }), "Failed"),
      this.button, h("button", { type: "button", onclick: () => this.clear() }, "Clear"));
    this.say("Connecting…");
  }

  /** Connects until it is called off, again after a while if the connection ends; from where it was. */
  async listen({ kind, flow, app, id, failed }, signal) {
    for (let tries = 0; !signal.aborted; tries += 1) {
      try {
        const heard = (message) => {
          tries = 0;
          this.hear(message);
        };
        const opened = () => this.say("Listening");
        await follow("events", { query: { kind, flow, app, id, failed }, last: this.last, signal, opened, heard });
        this.say("The server closed the connection; connecting again…");
      } catch (problem) {
        if (problem.name === "AbortError") return;
        this.say(problem.message, true);
        if (problem.status === 403 || problem.status === 400) return;
      }
      const wait = AGAIN[Math.min(tries, AGAIN.length - 1)];
      await new Promise((done) => setTimeout(done, wait));
    }
  }

  hear({ id, event, data }) {
    this.last = id ?? this.last;
    const message = JSON.parse(data);
    if (event === "missed") {
      this.missed += message.events ?? 0;
      return this.say();
    }
    this.waiting.push(message);
    if (this.waiting.length > LINES) this.missed += this.waiting.splice(0, this.waiting.length - LINES).length;
    this.soon();
  }

  /** Draws once a frame, however many came. */
  soon() {
    if (this.paused) return this.say();
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  draw() {
    this.drawn += this.waiting.length;
    this.list.prepend(...this.waiting.splice(0).reverse().map(entry));
    while (this.list.childElementCount > LINES) this.list.lastElementChild.remove();
    this.say();
  }

  pause() {
    this.paused = !this.paused;
    if (this.paused) this.say();
    else this.draw();
  }

  clear() {
    fill(this.list);
    this.waiting = [];
    this.say();
  }

  say(text, bad = false) {
    if (text) Object.assign(this, { text, bad });
    this.button.textContent = this.paused ? "Go on" : "Pause";
    const parts = [this.paused ? `Paused, ${number(this.waiting.length)} wait` : this.text];
    if (this.drawn) parts.push(`${number(this.drawn)} events shown`);
    if (this.missed) parts.push(`${number(this.missed)} missed`);
    fill(this.state, h("span", { class: this.bad ? "bad" : this.paused ? "note" : "" }, parts.join(" · ")));
  }
}

function entry(event) {
  const where = event.step ? address(`/flows/${path(event.id)}`, { step: event.step }) : `/flows/${path(event.id)}`;
  const line = h("li", {}, time(event.timestamp, "clock"), h("span", { class: "kind" }, event.kind));
  const name = event.kind === "step" ? event.task || `step ${event.step}` : event.flow || event.id;
  return append(line, event.status ? badge(event.state, event.status) : h("span", {}),
    h("a", { href: where, title: event.id }, name), h("span", { class: "dim" }, event.kind === "step" ? event.flow ?? "" : event.app ?? ""),
    h("span", { class: "dim position" }, `${event.partition}:${event.offset}`));
}
