// The list of flows.

import assert from "node:assert/strict";
import { test } from "node:test";
import { api, browser, close, until } from "./browser.mjs";
import { FAILING, ORIGINAL, RERUN } from "./names.mjs";

const open = browser();
const names = (page) => page.locator("td.name a");

test("the newest flows come first, and a click opens one", async () => {
  const page = await open("/");
  await names(page).first().waitFor();
  assert.equal(new URL(page.url()).pathname, "/flows");
  await page.goto(page.url() + "?app=history-harness");
  await names(page).first().waitFor();
  const { flows } = await api("flows?app=history-harness&limit=50");
  const ids = await page.locator("td.name .id").allTextContents();
  assert.deepEqual(ids, flows.map(({ id }) => id));
  await names(page).first().click();
  await page.waitForURL(`**/flows/${flows[0].id}`);
  await page.goBack();
  await page.waitForURL("**/flows?app=history-harness");
  await close(page);
});

test("what is entered is in the address, and back takes it off", async () => {
  const page = await open("/flows");
  await page.getByLabel("App", { exact: true }).fill("history-harness");
  await page.getByLabel("App", { exact: true }).press("Enter");
  await page.waitForURL("**/flows?app=history-harness");
  await page.getByText("More filters").click();
  await page.getByLabel("Failed", { exact: true }).check();
  await page.waitForURL("**/flows?app=history-harness&failed=true");
  await until("only failed ones", async () => (await page.locator("tbody .state").allTextContents()).every((word) => word === "Failed")
    && await names(page).count() > 0);
  await page.getByRole("link", { name: "Take off Failed" }).click();
  await page.waitForURL("**/flows?app=history-harness");
  await page.goBack();
  await page.waitForURL("**failed=true");
  assert.ok(await page.getByLabel("Failed", { exact: true }).isChecked());
  await close(page);
});

test("each filter finds what the API finds for it", async () => {
  const page = await open("/flows");
  // Live traffic is of the made-up app: without an end, what came between the two questions would be the difference.
  for (const query of ["flow=fail", `id=${FAILING.slice(0, 6)}`, "status=failed,completed&app=history-harness", `rerun_of=${ORIGINAL}`, "user=lab-user",
    "host=lab-host", "version=1.4.2&until=2026-02-01T00:00:00Z", "min_duration_ms=20&app=history-harness", "failed_step=true&app=history-harness&until=2026-11-22T10:00:00Z",
    "since=2026-11-21T20:00:00Z&until=2026-11-21T20:28:27.600Z&app=history-harness", "text=boom&app=history-harness&until=2026-11-22T10:00:00Z"]) {
    await page.goto(new URL(`/flows?${query}`, page.url()).href);
    const { flows } = await api(`flows?${query}&limit=50`);
    assert.ok(flows.length > 0, query);
    await names(page).first().waitFor();
    assert.deepEqual(await page.locator("td.name .id").allTextContents(), flows.map(({ id }) => id), query);
  }
  await close(page);
});

test("counts by status narrow the list to it, and widen it again", async () => {
  const page = await open("/flows?app=history-harness");
  const { by_status: counts } = await api("counts?app=history-harness");
  const failed = counts.find(({ state }) => state === "failed");
  const chip = page.locator(".statuses a", { hasText: `Failed ${failed.flows}` });
  await chip.click();
  await page.waitForURL("**status=Failed");
  await until("as many rows as counted", async () => await names(page).count() === failed.flows);
  // Others can still be chosen.
  assert.equal(await page.locator(".statuses li").count(), counts.length);
  await chip.click();
  await page.waitForURL((url) => !url.searchParams.get("status"));
  await close(page);
});

test("a bar of the histogram is its time as a filter", async () => {
  const page = await open("/flows?app=history-harness");
  const bars = page.locator(".bucket");
  await bars.first().waitFor();
  const { histogram } = await api("counts?app=history-harness&buckets=48");
  assert.equal(await bars.count(), histogram.buckets.length);
  const at = histogram.buckets.findIndex(({ flows }) => flows > 0);
  await bars.nth(at).click();
  await page.waitForURL("**since=**");
  await until("its flows", async () => await names(page).count() === Math.min(histogram.buckets[at].flows, 50));
  await close(page);
});

test("arrows move along the histogram", async () => {
  const page = await open("/flows?app=history-harness&since=2026-11-21T20:00:00Z&until=2026-11-22T09:00:00Z");
  await page.locator(".bucket").first().waitFor();
  await page.locator(".bucket[tabindex='0']").focus();
  const before = await page.evaluate(() => document.activeElement.getAttribute("aria-label"));
  await page.keyboard.press("ArrowLeft");
  const after = await page.evaluate(() => document.activeElement.getAttribute("aria-label"));
  assert.notEqual(before, after);
  await close(page);
});

test("an empty list names the filter that emptied it, and takes it off", async () => {
  const page = await open("/flows?app=history-harness&flow=no-such-flow");
  await page.getByText("There are flows without").waitFor();
  assert.equal(await page.locator(".guilty li").count(), 1);
  assert.match(await page.locator(".guilty").textContent(), /Flow: no-such-flow/);
  await page.getByRole("button", { name: "Take it off" }).click();
  await page.waitForURL("**/flows?app=history-harness");
  await names(page).first().waitFor();
  await page.goto(new URL("/flows?app=nowhere&flow=no-such-flow", page.url()).href);
  await page.getByText("No single filter does it").waitFor();
  await close(page);
});

test("pages of the list are in the address", async () => {
  const page = await open("/flows?since=2026-01-01&until=2026-01-02");
  const { flows, next } = await api("flows?since=2026-01-01&until=2026-01-02&limit=50");
  await page.getByRole("link", { name: "Older" }).click();
  await page.waitForURL("**after=**");
  assert.equal(new URL(page.url()).searchParams.get("after"), next);
  await until("another page", async () => await page.locator("td.name .id").first().textContent() !== flows[0].id);
  await page.getByRole("link", { name: "Newest" }).click();
  await until("the first page", async () => await page.locator("td.name .id").first().textContent() === flows[0].id);
  await close(page);
});

test("re-runs are led to, and two ticks compare", async () => {
  const page = await open(`/flows?id=${ORIGINAL}`);
  await page.getByRole("link", { name: "2 re-runs" }).click();
  await page.waitForURL("**rerun_of**");
  await until("both", async () => await names(page).count() === 2);
  for (const at of [0, 1]) await page.locator("td.pick input").nth(at).click();
  await page.waitForURL("**/compare/**");
  assert.ok(page.url().includes(RERUN));
  await close(page);
});

test("keys go through the rows, open one, choose and filter", async () => {
  const page = await open("/flows?app=history-harness");
  await names(page).first().waitFor();
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  const id = await page.evaluate(() => document.activeElement.closest("tr").dataset.id);
  assert.equal(id, await page.locator("tbody tr").first().getAttribute("data-id"));
  await page.keyboard.press("x");
  assert.ok(await page.locator("td.pick input").first().isChecked());
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "filter-id");
  await page.keyboard.press("Escape");
  await page.keyboard.press("f");
  await page.waitForURL("**failed=true");
  await until("failed ones", async () => await names(page).count() > 0 && await page.locator("tbody .state-completed").count() === 0);
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/flows\/[^?]+$/);
  await close(page);
});
