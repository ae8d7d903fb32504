// The steps of a run as the API has them, one line of JSON each.

import { get, path } from "./api.js";

/** Rows of `/steps` by their id, read when the raw view is first shown. */
export class Raw {
  constructor(flow, signal, came) {
    Object.assign(this, { flow, signal, came, steps: new Map(), reading: null });
  }

  /** Reads them once; `came` is called as pages come. */
  read() {
    this.reading ??= this.pages().catch((problem) => {
      this.reading = null;
      if (problem.name !== "AbortError") throw problem;
    });
    return this.reading;
  }

  async pages() {
    let after = null;
    do {
      const page = await get(`flows/${path(this.flow)}/steps`, { limit: 1000, after }, this.signal);
      for (const step of page.steps) this.steps.set(step.id, step);
      this.came();
      after = page.next;
    } while (after);
  }

  /** The line of a bar: its step, or the bar itself while the step has not come or is another instance's. */
  text({ of, called, ...bar }) {
    return JSON.stringify((!called && this.steps.get(bar.id)) || { ...bar, instance: of });
  }
}
