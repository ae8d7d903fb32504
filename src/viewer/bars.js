// The steps of a run in the order to draw them, those of instances that it called among them once they are opened.

import { get, path } from "./api.js";

const PAGE = 5000;

/** What is drawn of one instance. */
export class Bars {
  constructor(flow) {
    this.flow = flow;
    this.list = [];
    this.gaps = [];
    this.duration = 0;
    this.start = null;
    this.open = false;
    this.total = 0;
    this.opened = new Map();
  }

  /** Reads all of it; `seen` is called after each page, so that the first can be drawn while others come. */
  async read(signal, seen) {
    const own = [];
    let after = null;
    do {
      const page = await get(`flows/${path(this.flow)}/timeline`, { limit: PAGE, after }, signal);
      own.push(...page.bars.map((bar) => ({ ...bar, of: this.flow })));
      this.take(page, own);
      seen();
      after = page.next;
    } while (after);
  }

  take({ gaps, duration_ms: duration, start, open, total }, own) {
    Object.assign(this, { gaps, start, open, total, own });
    // Of an open run it is what ran so far.
    const ends = own.reduce((most, bar) => Math.max(most, bar.end_ms ?? bar.start_ms), 0);
    this.duration = Math.max(duration ?? 0, ends, 0.001);
    this.arrange();
  }

  arrange() {
    this.list = this.own.flatMap((bar) => [bar, ...(bar.kind === "flow" ? this.opened.get(bar.id) ?? [] : [])]);
  }

  /** Shows the steps of an instance that this one called below its bar, or hides them again. */
  async toggle(bar, signal) {
    if (this.opened.delete(bar.id)) return this.arrange();
    const called = new Bars(bar.id);
    await called.read(signal, () => {});
    const shift = called.start && this.start ? Date.parse(called.start) - Date.parse(this.start) : bar.start_ms;
    this.opened.set(bar.id, called.list.map((step) => ({
      ...step,
      depth: bar.depth + 1 + step.depth,
      start_ms: step.start_ms + shift,
      end_ms: step.end_ms === null ? null : step.end_ms + shift,
      critical: false,
      called: true,
    })));
    this.arrange();
  }

  /** Where a step is in a list of bars; -1 if it is not there. */
  static find(list, step, of) {
    return list.findIndex((bar) => bar.id === step && bar.of === of);
  }
}

/** Those whose task or id has these letters, or all; only failed ones if so asked. */
export function narrow(list, letters, failed) {
  const wanted = letters.toLowerCase();
  const fits = (bar) => !wanted || bar.id.toLowerCase().includes(wanted) || (bar.task ?? bar.flow ?? "").toLowerCase().includes(wanted);
  return list.filter((bar) => (!failed || bar.state === "failed") && fits(bar));
}

/** The next failed bar from a place on, in a direction; from the other end once there is none left; -1 if none failed. */
export function nextFailure(list, from, step) {
  for (let n = 1; n <= list.length; n += 1) {
    const at = (((from + n * step) % list.length) + list.length) % list.length;
    if (list[at].state === "failed") return at;
  }
  return -1;
}
