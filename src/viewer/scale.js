// Time → place on a line, with stretches in which nothing ran cut short. Pure.

/** A gap that is cut short takes this share of what is left of the whole. */
const SHARE = 0.03;

/** A line as long as what ran, in units of its own: milliseconds, except in a gap that is cut short. */
export class Scale {
  /** `gaps` are `{start_ms, end_ms}` in order; with `cut` they are cut short. */
  constructor(duration, gaps, cut) {
    const busy = duration - gaps.reduce((sum, gap) => sum + gap.end_ms - gap.start_ms, 0);
    this.pieces = [];
    let at = 0;
    let from = 0;
    const piece = (to, gap) => {
      if (to <= from) return;
      const length = to - from;
      const size = gap && cut ? Math.min(length, Math.max(busy * SHARE, 0.001)) : length;
      this.pieces.push({ from, to, at, size, gap });
      at += size;
      from = to;
    };
    for (const { start_ms: start, end_ms: end } of gaps) {
      piece(start, false);
      piece(Math.min(end, duration), true);
    }
    piece(duration, false);
    this.total = Math.max(at, 0.001);
  }

  /** The place of a time; before the first and behind the last it is their end. */
  at(ms) {
    for (const { from, to, at, size } of this.pieces) {
      if (ms <= to) return at + (Math.max(ms - from, 0) / (to - from)) * size;
    }
    return this.total;
  }

  /** The time at a place. */
  time(place) {
    for (const { from, to, at, size } of this.pieces) {
      if (place <= at + size) return from + (Math.max(place - at, 0) / size) * (to - from);
    }
    return this.pieces.at(-1)?.to ?? 0;
  }

  /** Round times between two places, about so many, none of them in a gap that is cut short. */
  ticks(begin, end, about) {
    const step = round((end - begin) / about);
    const ticks = [];
    for (const { from, to, at, size, gap } of this.pieces) {
      if (at + size < begin || at > end || (gap && size < to - from)) continue;
      const last = Math.min(to, from + end - at);
      for (let n = Math.ceil(Math.max(from, from + begin - at) / step); n * step <= last; n += 1) ticks.push(n * step);
    }
    return ticks;
  }
}

/** The next of 1, 2, 5, 10, … that is not less; above a second, of what clocks count by. */
function round(ms) {
  const clock = [1e3, 2e3, 5e3, 1e4, 2e4, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 216e5, 432e5, 864e5];
  const found = ms > 500 && clock.find((step) => step >= ms);
  if (found) return found;
  const unit = 10 ** Math.floor(Math.log10(Math.max(ms, 1e-6)));
  return unit * [1, 2, 5, 10].find((factor) => factor * unit >= ms * 0.999999);
}
