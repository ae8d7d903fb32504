// How long a run of ten thousand steps takes to open, and how it scrolls, by the browser's own trace.

import { BASE, launch, rows } from "./browser.mjs";
import { LONG } from "./names.mjs";

const ROUNDS = 5;
/** The limits that this ends with an error beyond. */
const OPEN_MS = 1000;
const LATE_PERCENT = 5;
const FRAME_MS = 1000 / 60;

const browser = await launch();
const quantile = (values, share) => [...values].sort((a, b) => a - b)[Math.min(Math.floor(values.length * share), values.length - 1)];

/** From the beginning of the navigation until the steps are on the screen, and until all of them can be scrolled to. */
async function opening() {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  await page.addInitScript(() => {
    const look = () => {
      const body = document.querySelector(".rows-body");
      if (document.querySelector(".row") && !window.firstRow) window.firstRow = performance.now();
      if (body && parseFloat(body.style.height) >= 280_000) window.allRows = performance.now();
      else requestAnimationFrame(look);
    };
    look();
  });
  await page.goto(`${BASE}/flows/${LONG}`);
  await page.waitForFunction(() => window.allRows);
  const times = await page.evaluate(() => [window.firstRow, window.allRows]);
  await page.close();
  return times;
}

/** Frames that were to be shown while the steps are scrolled through, and those that came late or not at all. */
async function scrolling() {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  await page.goto(`${BASE}/flows/${LONG}`);
  await rows(page).first().waitFor();
  const session = await page.context().newCDPSession(page);
  const events = [];
  session.on("Tracing.dataCollected", ({ value }) => events.push(...value));
  const ended = new Promise((done) => session.once("Tracing.tracingComplete", done));
  await session.send("Tracing.start", { transferMode: "ReportEvents", categories: "devtools.timeline,disabled-by-default-devtools.timeline.frame,toplevel" });
  const box = await page.locator(".rows").boundingBox();
  for (const distance of [-20_000, -60_000, 40_000]) {
    await session.send("Input.synthesizeScrollGesture", { x: box.x + 400, y: box.y + 50, yDistance: distance, speed: 12_000, preventFling: true });
  }
  await session.send("Tracing.end");
  await ended;
  await page.close();
  const named = (name) => events.filter((event) => event.name === name);
  const drawn = named("DrawFrame").map(({ ts }) => ts / 1000).sort((a, b) => a - b);
  const gaps = drawn.slice(1).map((ts, at) => ts - drawn[at]);
  const tasks = named("RunTask").map(({ dur = 0 }) => dur / 1000);
  return { frames: drawn.length, gaps, dropped: named("DroppedFrame").length, long: tasks.filter((ms) => ms > 50).length };
}

await opening();
const opened = [];
for (let n = 0; n < ROUNDS; n += 1) opened.push(await opening());
const scrolled = await scrolling();
await browser.close();

const first = opened.map(([time]) => time);
const all = opened.map(([, time]) => time);
const late = (100 * scrolled.gaps.filter((gap) => gap > 2 * FRAME_MS).length) / scrolled.gaps.length;
const ms = (value) => `${value.toFixed(0)} ms`;
console.log("| a run of 10 000 steps | median | worst |\n| --- | --- | --- |");
console.log(`| opened until its first steps are drawn | ${ms(quantile(first, 0.5))} | ${ms(Math.max(...first))} |`);
console.log(`| opened until all can be scrolled to | ${ms(quantile(all, 0.5))} | ${ms(Math.max(...all))} |`);
console.log(`| between two frames while it scrolls (${scrolled.frames} frames) | ${ms(quantile(scrolled.gaps, 0.5))} | ${ms(Math.max(...scrolled.gaps))} |`);
console.log(`| frames that came more than a frame late | ${late.toFixed(1)} % | |`);
console.log(`| frames dropped, tasks longer than 50 ms | ${scrolled.dropped}, ${scrolled.long} | |`);
if (quantile(first, 0.5) > OPEN_MS || late > LATE_PERCENT) {
  console.error(`wanted: open within ${OPEN_MS} ms, at most ${LATE_PERCENT} % late`);
  process.exitCode = 1;
}
