// A browser and what tests do with its pages.

import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { after, before } from "node:test";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

/** Where the server is. */
export const BASE = process.env.VIEWER_BASE;

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Debian's Chromium. */
export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
}

/** A browser for the tests of a file; gives `open(path, options)`, whose pages must end without an error. */
export function browser() {
  let started;
  before(async () => (started = await launch()));
  after(() => started.close());
  return async (path, { width = 1440, height = 900, expected = () => false, ...options } = {}) => {
    const context = await started.newContext({ viewport: { width, height }, reducedMotion: "reduce", timezoneId: "Europe/Berlin", ...options });
    context.setDefaultTimeout(10_000);
    const page = await context.newPage();
    page.errors = [];
    page.on("pageerror", (error) => page.errors.push(error.message));
    page.on("console", (line) => line.type() === "error" && !expected(line.text()) && page.errors.push(line.text()));
    await page.goto(BASE + path);
    return page;
  };
}

/** Nothing went wrong on the page; it is closed. */
export async function close(page) {
  assert.deepEqual(page.errors, []);
  await page.context().close();
}

/** Asks the API itself. */
export async function api(path) {
  const answer = await fetch(`${BASE}/api/v1/${path}`);
  assert.equal(answer.status, 200, path);
  return answer.json();
}

/** Waits until a function of the test gives something true. */
export async function until(what, condition) {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert.ok(Date.now() < deadline, `${what} did not come true`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** The steps that the page shows, by their rows. */
export function rows(page) {
  return page.locator(".row");
}

const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** What of a page breaks a rule of WCAG A and AA, or good practice; or this rule alone. */
export async function violations(page, rule = null) {
  await page.evaluate(AXE);
  const answer = await page.evaluate((runOnly) => axe.run(document, { runOnly, resultTypes: ["violations"] }),
    rule ? { type: "rule", values: [rule] } : RULES);
  return answer.violations.map(({ id, nodes }) => {
    const where = nodes.slice(0, 3).map((node) => `${node.target}: ${node.failureSummary}`).join("; ");
    return `${page.url().slice(BASE.length)} ${id}: ${where}`.replace(/\s+/g, " ");
  });
}

/** What of a page is wider than the window. */
export async function tooWide(page) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  return over > 0 ? [`${page.url().slice(BASE.length)} is ${over} px too wide`] : [];
}
