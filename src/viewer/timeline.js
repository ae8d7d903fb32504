// Bars over time: the axis, the part of it that is looked at, idle stretches cut short, and a small map of the whole.

import { fill, h } from "./dom.js";
import { Minimap } from "./minimap.js";
import { Scale } from "./scale.js";
import { duration } from "./time.js";

const CLOSEST = 1 / 100_000;
/** Gaps are cut that are so long, or such a share of the whole: in a run of milliseconds each breath would be one. */
const LONG_MS = 1000;
const LARGE = 0.2;

/** What stands above and behind the rows of a run; `changed` is called when rows have to be drawn again. */
export class Timeline {
  constructor(changed, signal) {
    this.changed = changed;
    this.cut = true;
    this.critical = true;
    this.axis = h("div", { class: "axis", "aria-hidden": "true" });
    this.bands = h("div", { class: "bands", "aria-hidden": "true" });
    this.map = new Minimap((from, to) => this.look(from, to), signal);
    this.read({ duration: 1, gaps: [] }, []);
  }

  /** There is this to draw. What is looked at stays. */
  read({ duration: whole, gaps }, list) {
    const [from, to] = this.window ?? [0, 1];
    const all = !this.window || (from === 0 && to >= this.scale.total);
    this.whole = whole;
    this.gaps = gaps.filter(({ start_ms: start, end_ms: end }) => end - start >= Math.min(LONG_MS, whole * LARGE));
    this.list = list;
    this.scale = new Scale(whole, this.gaps, this.cut);
    this.window = all ? [0, this.scale.total] : [from, Math.min(to, this.scale.total)];
    this.draw();
  }

  /** Cuts idle stretches short, or shows them at their length. */
  cutGaps(cut) {
    const [from, to] = this.window.map((place) => this.scale.time(place));
    this.cut = cut;
    this.scale = new Scale(this.whole, this.gaps, cut);
    this.look(this.scale.at(from), this.scale.at(to));
  }

  /** Looks at this part, within bounds. */
  look(from, to) {
    const total = this.scale.total;
    const width = Math.min(Math.max(to - from, total * CLOSEST), total);
    const begin = Math.min(Math.max(from, 0), total - width);
    this.window = [begin, begin + width];
    this.draw();
    this.changed();
  }

  /** Closer for a factor below 1, around a share of what is seen. */
  zoom(factor, around = 0.5) {
    const [from, to] = this.window;
    const still = from + (to - from) * around;
    this.look(still - (still - from) * factor, still + (to - still) * factor);
  }

  /** Moves by a share of what is seen. */
  pan(share) {
    const [from, to] = this.window;
    this.look(from + (to - from) * share, to + (to - from) * share);
  }

  /** All of it. */
  fit() {
    this.look(0, this.scale.total);
  }

  /** One bar and a little around it. */
  lookAt(bar) {
    const from = this.scale.at(bar.start_ms);
    const to = this.scale.at(bar.end_ms ?? this.whole);
    const room = Math.max((to - from) * 0.5, this.scale.total * CLOSEST * 5);
    this.look(from - room, to + room);
  }

  /** Whether all of it is looked at. */
  get fitted() {
    return this.window[1] - this.window[0] >= this.scale.total * 0.999999;
  }

  share(place) {
    const [from, to] = this.window;
    return (100 * (place - from)) / (to - from);
  }

  draw() {
    const [from, to] = this.window;
    const cuts = this.scale.pieces.filter(({ gap, at, size }) => this.cut && gap && at < to && at + size > from);
    const middles = cuts.map(({ at, size }) => this.share(at + size / 2));
    // Where a gap says how long it is there is no room for a time.
    const free = (left) => !middles.some((middle) => middle > left - 3 && middle < left + 7);
    const ticks = this.scale.ticks(from, to, 7).map((ms) => {
      const left = this.share(this.scale.at(ms));
      return h("span", { class: "tick", style: { left: `${left}%` } }, free(left) && duration(ms));
    });
    const place = ({ at, size }) => ({ left: `${this.share(at)}%`, width: `${(100 * size) / (to - from)}%` });
    fill(this.axis, ticks);
    fill(this.bands, ticks.map((tick) => h("i", { class: "line", style: { left: tick.style.left } })),
      this.scale.pieces.filter(({ gap }) => gap).map((piece) => h("i", { class: "gap", style: place(piece) })));
    append(this.axis, cuts, place);
    this.map.draw(this.scale, this.window, this.list);
  }

  /** The bar of a row, for its track. */
  bar(bar) {
    const start = this.share(this.scale.at(bar.start_ms));
    const end = this.share(this.scale.at(bar.end_ms ?? this.whole));
    const critical = this.critical && bar.critical ? " critical" : "";
    const open = bar.end_ms === null ? " open" : "";
    if (end < 0 || start > 100) return h("i", { class: `beyond ${end < 0 ? "left" : "right"}` });
    const left = Math.max(start, -1);
    const style = { left: `${left}%`, width: `${Math.min(end, 101) - left}%` };
    const took = bar.end_ms === null ? null : bar.end_ms - bar.start_ms;
    // Beside the bar where there is room on the right, else on its left.
    const beside = end < 85 ? { left: `${Math.max(end, 0)}%` } : { right: `${100 - Math.max(left, 0)}%` };
    return [
      h("i", { class: `bar state-${bar.state} kind-${bar.kind}${critical}${open}`, style }),
      h("span", { class: "took", style: beside }, took === null ? "open" : duration(took)),
    ];
  }
}

function append(axis, cuts, place) {
  for (const piece of cuts) {
    const length = duration(piece.to - piece.from);
    axis.append(h("span", { class: "cut", style: place(piece), title: `${length} in which nothing ran` }, h("b", {}, length)));
  }
}
