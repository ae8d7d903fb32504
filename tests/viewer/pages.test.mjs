// Grid, stats, live tail, operations, and what every page has.

import assert from "node:assert/strict";
import { test } from "node:test";
import { BASE, api, browser, close, until } from "./browser.mjs";

const open = browser();

test("the grid has a column for each run and leads to the step", async () => {
  const page = await open("/grid?app=history-harness&flow=order");
  const answer = await api("grid?app=history-harness&flow=order&runs=25");
  await page.locator(".cells tbody tr").first().waitFor();
  assert.equal(await page.locator(".cells thead a").count(), answer.runs.length);
  assert.equal(await page.locator(".cells tbody tr").count(), answer.rows.length);
  assert.equal(await page.locator(".cells tbody a").count(), answer.cells.flat().filter(Boolean).length);
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "A");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/flows/**step=**");
  await close(page);
});

test("a flow is chosen for the grid among those that ran", async () => {
  const page = await open("/grid");
  await page.getByLabel("Flow", { exact: true }).selectOption({ label: "order · history-harness" });
  await page.waitForURL("**flow=order**");
  await page.locator(".cells tbody tr").first().waitFor();
  await page.getByLabel("Runs", { exact: true }).selectOption("10");
  await page.waitForURL("**runs=10**");
  await close(page);
});

test("stats tell durations and failures of each flow, and lead to them", async () => {
  const page = await open("/stats?since=-30d");
  const { flows } = await api("stats?since=-30d&app=history-harness");
  await page.getByLabel("App", { exact: true }).fill("history-harness");
  await page.getByLabel("App", { exact: true }).press("Enter");
  await page.waitForURL("**app=history-harness**");
  const lines = page.locator("table").first().locator("tbody tr");
  await until("each flow", async () => await lines.count() === flows.length);
  const failing = flows.find(({ failed }) => failed > 0);
  await lines.filter({ hasText: failing.flow }).first().locator("a.fail").click();
  await page.waitForURL("**failed=true**");
  await page.locator("td.name a").first().waitFor();
  await close(page);
});

test("the live tail shows what is posted, pauses, and goes on with what came meanwhile", async () => {
  const page = await open("/tail");
  const events = page.locator(".events li");
  await until("some events", async () => await events.count() > 2);
  await page.keyboard.press("s");
  await page.getByRole("button", { name: "Go on" }).waitFor();
  const shown = await events.count();
  await page.getByText(/Paused, [1-9]\d* wait/).waitFor();
  assert.equal(await events.count(), shown);
  await page.getByRole("button", { name: "Go on" }).click();
  await until("those that waited", async () => await events.count() > shown);
  await page.getByLabel("Kind").selectOption("flow");
  await page.waitForURL("**kind=flow");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Clear" }).click();
  await until("flows only", async () => await events.count() > 0);
  assert.ok((await page.locator(".events .kind").allTextContents()).every((kind) => kind === "flow"));
  await close(page);
});

test("operations show the lag of each partition, and each other page", async () => {
  const page = await open("/operations");
  const { partitions } = await api("operations/lag");
  const lines = page.locator("tbody tr");
  await until("each partition", async () => await lines.count() === partitions.length);
  for (const name of ["Gaps", "Sessions", "Retention", "Schema", "Audit", "Configuration"]) {
    await page.getByRole("navigation", { name: "Operations" }).getByRole("link", { name }).click();
    await page.waitForURL(`**/operations/**`);
    await page.locator(".page > *").first().waitFor();
    assert.equal(await page.getByRole("alert").count(), 0, name);
  }
  await close(page);
});

test("dead letters are counted, read, and tried again only when that is confirmed", async () => {
  const page = await open("/operations/letters");
  const before = await api("operations/deadletters");
  assert.ok(before.letters.length >= 2, "the stack has some");
  const lines = page.locator("tbody tr");
  await until("each letter", async () => await lines.count() === before.letters.length);
  await lines.first().getByRole("link").click();
  await page.waitForURL("**letter=**");
  await page.locator(".letter .payload").first().waitFor();
  await page.getByLabel(`Choose letter ${before.letters[0].id}`).check();
  await page.getByRole("button", { name: "Throw away" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  assert.equal((await api("operations/deadletters")).letters.length, before.letters.length);
  await page.getByRole("button", { name: "Throw away" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Throw away" }).click();
  await until("it is gone", async () => (await api("operations/deadletters")).letters.length === before.letters.length - 1);
  const { notes } = await api("operations/audit");
  assert.ok(notes.some(({ action, detail }) => action === "deadletter.drop" && detail.id === before.letters[0].id), JSON.stringify(notes));
  await close(page);
});

test("every page says how fresh the data is", async () => {
  const page = await open("/flows");
  for (const path of ["/flows", "/grid", "/stats", "/tail", "/operations"]) {
    await page.goto(BASE + path);
    await page.locator("#freshness time").waitFor();
    assert.match(await page.locator("#freshness").textContent(), /as of \d\d:\d\d:\d\d/);
  }
  await close(page);
});

test("times are local until UTC is asked for, and that is remembered", async () => {
  const page = await open("/flows?app=history-harness&flow=fail");
  const time = page.locator("td.when time").first();
  const { flows: [{ started }] } = await api("flows?app=history-harness&flow=fail");
  const hour = Number(started.slice(11, 13));
  assert.equal((await time.textContent()).slice(11, 13), String((hour + 1) % 24).padStart(2, "0"));
  await page.keyboard.press("u");
  assert.equal(await time.textContent(), `${started.slice(0, 10)} ${started.slice(11, 23)} UTC`);
  await page.reload();
  await until("still UTC", async () => (await time.textContent()).endsWith("UTC"));
  await close(page);
});

test("dark and light follow the system until one is chosen", async () => {
  const page = await open("/flows", { colorScheme: "dark" });
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const dark = await ground();
  await page.keyboard.press("d");
  assert.notEqual(await ground(), dark);
  await page.reload();
  await page.locator("#theme svg").waitFor();
  assert.notEqual(await ground(), dark);
  await close(page);
});

test("a question mark shows the keys, and single letters can be switched off", async () => {
  const page = await open("/flows");
  await page.locator("td.name a").first().waitFor();
  await page.keyboard.press("?");
  const dialog = page.getByRole("dialog", { name: "Keys" });
  await dialog.getByText("Next flow").waitFor();
  await dialog.getByLabel("Single letters are keys").uncheck();
  await dialog.getByRole("button", { name: "Close" }).click();
  await page.keyboard.press("f");
  assert.equal(new URL(page.url()).search, "");
  await page.getByRole("button", { name: "Keys" }).click();
  await dialog.getByLabel("Single letters are keys").check();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  for (const [keys, path] of [["gg", "/grid"], ["gs", "/stats"], ["gl", "/tail"], ["go", "/operations"], ["gf", "/flows"]]) {
    for (const key of keys) await page.keyboard.press(key);
    await page.waitForURL(`**${path}`);
  }
  await close(page);
});
