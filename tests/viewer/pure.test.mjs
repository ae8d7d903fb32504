// What of the viewer needs no browser.

import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.localStorage = { getItem: () => "utc", setItem() {} };
const { Scale } = await import("../../src/viewer/scale.js");
const { differences } = await import("../../src/viewer/diff.js");
const { duration, format } = await import("../../src/viewer/time.js");
const { narrow, nextFailure } = await import("../../src/viewer/bars.js");
const { event } = await import("../../src/viewer/api.js");

test("a scale without gaps is time itself", () => {
  const scale = new Scale(100, [], true);
  assert.equal(scale.total, 100);
  assert.equal(scale.at(25), 25);
  assert.equal(scale.time(25), 25);
  assert.equal(scale.at(-5), 0);
  assert.equal(scale.at(500), 100);
});

test("a gap that is cut short takes a small part of the line, and time runs on behind it", () => {
  const scale = new Scale(10_100, [{ start_ms: 50, end_ms: 10_050 }], true);
  const width = scale.at(10_050) - scale.at(50);
  assert.ok(width > 0 && width < 10, `${width}`);
  assert.equal(scale.at(10_100) - scale.at(10_050), 50);
  assert.equal(scale.time(scale.at(10_075)), 10_075);
  assert.ok(Math.abs(scale.time(scale.at(5000)) - 5000) < 1e-6);
  const whole = new Scale(10_100, [{ start_ms: 50, end_ms: 10_050 }], false);
  assert.equal(whole.at(10_050), 10_050);
});

test("no tick stands in a gap that is cut short", () => {
  const scale = new Scale(100_000, [{ start_ms: 20_000, end_ms: 80_000 }], true);
  const ticks = scale.ticks(0, scale.total, 5);
  assert.ok(ticks.includes(0) && ticks.includes(90_000), `${ticks}`);
  assert.deepEqual(ticks.filter((ms) => ms > 20_000 && ms < 80_000), []);
});

test("lines that two texts share are the same, in order", () => {
  assert.deepEqual(differences("a\nb\nc", "a\nx\nc"), [["same", "a"], ["left", "b"], ["right", "x"], ["same", "c"]]);
  assert.deepEqual(differences("", "a"), [["right", "a"]]);
  assert.deepEqual(differences("a\nb\nc\nd", "b\nd"), [["left", "a"], ["same", "b"], ["left", "c"], ["same", "d"]]);
  const sides = differences("1\n2\n3\n4", "0\n2\n4\n5");
  assert.equal(sides.filter(([side]) => side !== "right").map(([, line]) => line).join("\n"), "1\n2\n3\n4");
  assert.equal(sides.filter(([side]) => side !== "left").map(([, line]) => line).join("\n"), "0\n2\n4\n5");
});

test("durations and times read as people write them", () => {
  const wanted = [[null, "–"], [0, "0 ms"], [0.25, "0.25 ms"], [5.112, "5.1 ms"], [999.4, "999 ms"], [1240, "1.24 s"], [59_990, "60.0 s"],
    [60_000, "1 min 0 s"], [3_720_000, "1 h 2 min"], [273_600_000, "3 d 4 h"], [-12, "−12 ms"]];
  for (const [ms, text] of wanted) assert.equal(duration(ms), text);
  assert.equal(format("2026-11-21T20:28:27.590521Z"), "2026-11-21 20:28:27.590 UTC");
  assert.equal(format("2026-11-21T20:28:27.590521Z", "clock"), "20:28:27 UTC");
});

test("the next failure is found in either direction, around the ends", () => {
  const list = ["completed", "failed", "completed", "failed"].map((state, at) => ({ state, id: String(at), task: `Task${at}` }));
  assert.equal(nextFailure(list, -1, 1), 1);
  assert.equal(nextFailure(list, 1, 1), 3);
  assert.equal(nextFailure(list, 3, 1), 1);
  assert.equal(nextFailure(list, 1, -1), 3);
  assert.equal(nextFailure([], -1, 1), -1);
  assert.deepEqual(narrow(list, "task3", false).map(({ id }) => id), ["3"]);
  assert.deepEqual(narrow(list, "", true).map(({ id }) => id), ["1", "3"]);
});

test("an event of a stream is its lines, a comment is none", () => {
  assert.equal(event(": still here"), null);
  assert.deepEqual(event("id: t:0:4\nevent: step\ndata: {\"a\":\ndata: 1}"), { id: "t:0:4", event: "step", data: "{\"a\":\n1}" });
});
