// Where a run comes from, what came of it, and two runs beside each other.

import assert from "node:assert/strict";
import { test } from "node:test";
import { api, browser, close, until } from "./browser.mjs";
import { AGAIN, CHILD, FAILING, ORIGINAL, PARENT, RERUN } from "./names.mjs";

const open = browser();

test("re-runs lead to their original and back", async () => {
  const page = await open(`/flows/${RERUN}`);
  await page.locator(".head .facts").getByRole("link", { name: "order" }).click();
  await page.waitForURL(`**/flows/${ORIGINAL}`);
  await page.locator(".panel .tabs").getByRole("link", { name: /^Kin/ }).click();
  const { kin } = await api(`flows/${ORIGINAL}`);
  const lines = page.locator(".panel tbody tr");
  await until("each re-run", async () => await lines.count() === kin.reruns.length);
  await page.locator(".panel td.name a").first().click();
  await page.waitForURL(`**/flows/${kin.reruns[0].id}`);
  await close(page);
});

test("what was called names its caller", async () => {
  const page = await open(`/flows/${PARENT}?tab=kin`);
  await page.locator(".panel").getByText("called by this").waitFor();
  await page.locator(".panel td.name a").first().click();
  await page.waitForURL(`**/flows/${CHILD}`);
  await page.getByText("Called by").waitFor();
  await close(page);
});

test("the runs under one id and what they superseded are told", async () => {
  const page = await open(`/flows/${AGAIN}?tab=runs`);
  const { runs, steps } = await api(`flows/${AGAIN}`);
  const lines = page.locator(".panel tbody tr");
  await until("each run", async () => await lines.count() === runs.length);
  assert.equal(await page.locator(".facts div", { hasText: "Superseded" }).locator("dd").textContent(), String(steps.superseded));
  const column = await lines.locator("td:nth-child(6)").allTextContents();
  assert.deepEqual(column, runs.map((run) => String(run.superseded_steps)));
  await close(page);
});

test("a comparison counts, shows what differs line by line, and links both steps", async () => {
  const page = await open(`/compare/${ORIGINAL}/${RERUN}`);
  const answer = await api(`flows/${ORIGINAL}/compare/${RERUN}`);
  await page.locator(".counts").waitFor();
  const counts = await page.locator(".counts strong").allTextContents();
  assert.deepEqual(counts, ["differs", "only_here", "only_there", "same"].map((what) => String(answer[what])));
  const pairs = page.locator(".pair");
  assert.equal(await pairs.count(), answer.steps.filter(({ what }) => what !== "same").length);
  await page.locator(".pair[open]").first().locator(".diff, .both > p").first().waitFor();
  await page.getByLabel("Show what is the same").check();
  await until("all of them", async () => await pairs.count() === answer.steps.length);
  await page.keyboard.press("Escape");
  await page.keyboard.press("x");
  await page.waitForURL(`**/compare/${RERUN}/${ORIGINAL}**`);
  await close(page);
});

test("a run without another to compare with asks for one", async () => {
  const page = await open(`/flows/${FAILING}`);
  await page.getByRole("link", { name: "Compare" }).click();
  await page.waitForURL(`**/compare?a=${FAILING}`);
  assert.equal(await page.getByLabel("One run").inputValue(), FAILING);
  await page.getByLabel("The other").fill(RERUN);
  await page.getByRole("button", { name: "Compare" }).click();
  await page.waitForURL(`**/compare/${FAILING}/${RERUN}`);
  await page.locator(".counts").waitFor();
  await close(page);
});
