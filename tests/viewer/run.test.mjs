// One run: its three views, selection, failures, zoom, search, and what is called inline.

import assert from "node:assert/strict";
import { test } from "node:test";
import { api, browser, close, rows, until } from "./browser.mjs";
import { CHILD, FAILING, LONG, PARENT } from "./names.mjs";

const open = browser();
const step = (page) => new URL(page.url()).searchParams.get("step");
const whole = (page) => page.locator(".toolbar .total").filter({ hasText: /^10\s000 steps$/ }).waitFor();
const chosen = (page) => page.locator(".row[aria-selected='true']");

test("from a failed run to its step, input, error and message in three clicks", async () => {
  const page = await open("/flows?app=history-harness&flow=fail");
  await page.locator("td.name a").first().click();
  await page.locator(".failure a").click();
  await page.waitForURL("**step=**");
  const { steps } = await api(`flows/${FAILING}`);
  assert.equal(step(page), steps.failed.at(-1).id);
  await page.locator(".payload", { hasText: "Input" }).waitFor();
  await page.locator(".payload", { hasText: "Error" }).getByText("boom").first().waitFor();
  await page.locator(".panel .tabs").getByRole("link", { name: "Kafka" }).click();
  const { messages } = await api(`flows/${FAILING}/steps/${step(page)}/messages`);
  const first = page.locator(".panel tbody tr").first();
  await first.waitFor();
  const cells = await first.locator("td").allTextContents();
  assert.deepEqual(cells.slice(0, 3), [messages[0].topic, String(messages[0].partition), String(messages[0].offset)]);
  await close(page);
});

test("timeline, compact and raw have one order and one selection", async () => {
  const page = await open(`/flows/${FAILING}`);
  const { bars } = await api(`flows/${FAILING}/timeline`);
  await until("all rows", async () => await rows(page).count() === bars.length);
  await rows(page).nth(1).click();
  await page.waitForURL(`**step=${bars[1].id}`);
  const numbers = await rows(page).locator(".label .number").allTextContents();
  assert.deepEqual(numbers, bars.map(({ kind, id }) => (kind === "flow" ? "called" : id)));
  for (const view of ["Compact", "Raw", "Timeline"]) {
    await page.locator(".toolbar").getByRole("link", { name: view }).click();
    await until("the same selection", async () => await chosen(page).getAttribute("data-index") === "1");
    assert.equal(await rows(page).count(), bars.length);
    assert.equal(step(page), bars[1].id);
  }
  await page.goto(`${page.url()}&view=raw`);
  await until("rows as stored", async () => (await rows(page).first().textContent()).includes("\"execution\""));
  const lines = (await rows(page).allTextContents()).map((line) => JSON.parse(line).id);
  assert.deepEqual(lines, bars.map(({ id }) => id));
  await close(page);
});

test("keys go through the steps, to failures, between views and back to the run", async () => {
  const page = await open(`/flows/${LONG}`);
  await whole(page);
  await page.keyboard.press("f");
  await page.waitForURL("**step=4321");
  await page.keyboard.press("n");
  await page.waitForURL("**step=4322");
  await page.keyboard.press("n");
  await page.waitForURL("**step=9999");
  await page.keyboard.press("n");
  await page.waitForURL("**step=4321");
  await page.keyboard.press("p");
  await page.waitForURL("**step=9999");
  await page.keyboard.press("k");
  await page.waitForURL("**step=9998");
  await page.keyboard.press("Home");
  await page.waitForURL("**step=0");
  await page.keyboard.press("j");
  await page.waitForURL("**step=1");
  await page.keyboard.press("2");
  await page.waitForURL("**view=compact**");
  await page.keyboard.press("3");
  await page.waitForURL("**view=raw**");
  await page.keyboard.press("1");
  await page.waitForURL((url) => !url.searchParams.get("view"));
  await page.keyboard.press("Escape");
  await page.waitForURL((url) => !url.searchParams.get("step"));
  await close(page);
});

test("a run of ten thousand steps draws only what can be seen", async () => {
  const page = await open(`/flows/${LONG}`);
  await whole(page);
  assert.ok(await rows(page).count() < 100);
  await page.locator(".rows").evaluate((element) => (element.scrollTop = element.scrollHeight));
  await page.locator(".row[data-index='9999']").waitFor();
  assert.ok(await rows(page).count() < 100);
  await close(page);
});

test("a link to a step shows it wherever it is", async () => {
  const page = await open(`/flows/${LONG}?step=7000`);
  await until("the row is in view", async () => await chosen(page).getAttribute("data-index") === "7000");
  await until("it can be seen", async () => chosen(page).evaluate((row) => {
    const list = row.closest(".rows").getBoundingClientRect();
    const { top, bottom } = row.getBoundingClientRect();
    return top >= list.top && bottom <= list.bottom;
  }));
  await page.locator(".panel .payload").first().waitFor();
  await close(page);
});

test("zoom changes what the axis shows, by button, key, wheel and minimap", async () => {
  const page = await open(`/flows/${LONG}`);
  await rows(page).first().waitFor();
  const ticks = async () => (await page.locator(".axis .tick").allTextContents()).join(" ");
  const width = () => page.locator(".minimap .window").evaluate((element) => element.getBoundingClientRect().width);
  const [whole, all] = [await width(), await ticks()];
  await page.getByRole("button", { name: "Closer (+)" }).click();
  await until("half", async () => Math.abs(await width() - whole / 2) < 3);
  assert.notEqual(await ticks(), all);
  await page.keyboard.press("-");
  await until("all again", async () => Math.abs(await width() - whole) < 3);
  await page.locator(".rows").hover({ position: { x: 700, y: 50 } });
  await page.keyboard.down("Control");
  await page.mouse.wheel(0, -200);
  await page.keyboard.up("Control");
  await until("closer", async () => await width() < whole - 3);
  await page.keyboard.press("0");
  await until("all again", async () => Math.abs(await width() - whole) < 3);
  const map = await page.locator(".minimap").boundingBox();
  await page.mouse.move(map.x + map.width * 0.25, map.y + 10);
  await page.mouse.down();
  await page.mouse.move(map.x + map.width * 0.5, map.y + 10, { steps: 4 });
  await page.mouse.up();
  await until("a quarter", async () => Math.abs(await width() - whole / 4) < 6);
  await page.keyboard.press("0");
  await page.keyboard.press("f");
  await page.waitForURL("**step=4321");
  await page.keyboard.press("z");
  await until("one bar", async () => await width() < 10);
  await close(page);
});

test("idle time is cut short until it is asked for", async () => {
  const page = await open(`/flows/${LONG}`);
  const cut = page.locator(".axis .cut");
  await cut.waitFor();
  const { gaps } = await api(`flows/${LONG}/timeline?limit=1`);
  assert.equal(gaps.length, 1);
  const share = () => page.locator(".bands .gap").evaluate((element) => parseFloat(element.style.width));
  assert.ok(await share() < 10);
  await page.getByLabel("Cut idle time").uncheck();
  await until("its real length", async () => await share() > 60);
  await page.keyboard.press("i");
  await until("short again", async () => await share() < 10);
  await close(page);
});

test("the critical path is marked, and can be left out", async () => {
  const page = await open(`/flows/${FAILING}`);
  const { bars } = await api(`flows/${FAILING}/timeline`);
  const marked = page.locator(".bar.critical");
  await until("all of it", async () => await marked.count() === bars.filter(({ critical }) => critical).length);
  await page.getByLabel("Critical path").uncheck();
  await until("none", async () => await marked.count() === 0);
  await close(page);
});

test("steps are found by task, and only failed ones shown", async () => {
  const page = await open(`/flows/${LONG}`);
  await page.getByLabel("Find a step by task or id").fill("4321");
  await page.getByLabel("Find a step by task or id").press("Enter");
  await page.waitForURL("**find=4321");
  await until("one row", async () => await rows(page).count() === 1);
  await page.goto(page.url().replace("find=4321", "only=failed"));
  await until("three rows", async () => await rows(page).count() === 3);
  await close(page);
});

test("what was called is opened inline", async () => {
  const { bars } = await api(`flows/${PARENT}/timeline`);
  const at = bars.findIndex(({ kind, id }) => kind === "flow" && id === CHILD);
  assert.ok(at >= 0, "the recording has a call");
  const called = await api(`flows/${CHILD}/timeline`);
  const page = await open(`/flows/${PARENT}`);
  await until("all rows", async () => await rows(page).count() === bars.length);
  await rows(page).nth(at).click();
  await page.waitForURL(`**step=${CHILD}`);
  await page.keyboard.press("e");
  await until("its steps too", async () => await rows(page).count() === bars.length + called.bars.length);
  await rows(page).nth(at + 1).click();
  await page.waitForURL(`**of=${CHILD}**`);
  await page.locator(".panel .payload").first().waitFor();
  await rows(page).nth(at).click();
  await page.keyboard.press("e");
  await until("closed again", async () => await rows(page).count() === bars.length);
  await page.getByRole("link", { name: "Open this run" }).click();
  await page.waitForURL(`**/flows/${CHILD}`);
  await close(page);
});

test("a run that is not there is said not to be", async () => {
  const page = await open("/flows/no-such-run", { expected: (text) => text.includes("404") });
  await page.getByText("There is no such run").waitFor();
  await close(page);
});

test("a run is exported as the API has it", async () => {
  const page = await open(`/flows/${FAILING}`);
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Export" }).click()]);
  assert.equal(file.suggestedFilename(), `${FAILING}.ndjson`);
  await close(page);
});
