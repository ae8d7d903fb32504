// Which lines two texts share. Pure.

/** With more lines than this what is between their common beginning and end counts as different as a whole. */
const MOST = 1500;

/** `[side, line]` in reading order; a side is `same`, `left` or `right`. */
export function differences(left, right) {
  const [a, b] = [left, right].map((text) => (text === "" ? [] : text.split("\n")));
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  const same = (lines) => lines.map((line) => ["same", line]);
  return [
    ...same(a.slice(0, head)),
    ...between(a.slice(head, a.length - tail), b.slice(head, b.length - tail)),
    ...same(a.slice(a.length - tail)),
  ];
}

/** The longest common subsequence, from a table of its lengths. */
function between(a, b) {
  const all = [...a.map((line) => ["left", line]), ...b.map((line) => ["right", line])];
  if (!a.length || !b.length || a.length > MOST || b.length > MOST) return all;
  const width = b.length + 1;
  const longest = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      longest[i * width + j] = a[i] === b[j]
        ? longest[(i + 1) * width + j + 1] + 1
        : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  const found = [];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      found.push(["same", a[i]]);
      [i, j] = [i + 1, j + 1];
    } else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) found.push(["left", a[i++]]);
    else found.push(["right", b[j++]]);
  }
  return [...found, ...a.slice(i).map((line) => ["left", line]), ...b.slice(j).map((line) => ["right", line])];
}
