// For whom the pages are: every one by axe, in light and dark, wide and narrow; and by keys alone.

import assert from "node:assert/strict";
import { test } from "node:test";
import { BASE, browser, close, tooWide, violations } from "./browser.mjs";
import { AGAIN, FAILING, LONG, ORIGINAL, RERUN } from "./names.mjs";

const open = browser();

/** Each page, and what is there once it has been drawn. */
const PAGES = [
  ["/flows?app=history-harness", "td.name a"],
  ["/flows?flow=nowhere&failed=true", ".guilty"],
  [`/flows/${FAILING}?step=2`, ".payload"],
  [`/flows/${LONG}?view=compact`, ".row"],
  [`/flows/${LONG}?view=raw&step=4321&tab=messages`, ".panel table"],
  [`/flows/${AGAIN}?tab=runs`, ".panel table"],
  [`/compare/${ORIGINAL}/${RERUN}`, ".counts"],
  ["/compare", "form"],
  ["/grid?app=history-harness&flow=order", ".cells a"],
  ["/stats?since=-30d", "table"],
  ["/tail", ".events li"],
  ["/operations", "table"],
  ["/operations/letters", "table"],
  ["/operations/configuration", "table"],
];

// In the dark nothing but colours is another.
for (const [theme, width, rule] of [["light", 1440, null], ["dark", 1440, "color-contrast"], ["light", 360, null]]) {
  test(`every page passes axe and fits in ${theme} at ${width} px`, async () => {
    const found = [];
    const page = await open("/flows", { colorScheme: theme, width, height: width < 700 ? 740 : 900 });
    for (const [path, drawn] of PAGES) {
      await page.goto(BASE + path);
      await page.locator(drawn).first().waitFor();
      found.push(...await violations(page, rule), ...await tooWide(page));
    }
    assert.deepEqual(found, []);
    await close(page);
  });
}

test("dialogs pass axe", async () => {
  const page = await open("/flows");
  await page.locator("td.name a").first().waitFor();
  await page.keyboard.press("?");
  await page.getByRole("dialog").waitFor();
  assert.deepEqual(await violations(page), []);
  await close(page);
});

test("the tab key reaches what is on the page in order, and the content can be jumped to", async () => {
  const page = await open("/flows?app=history-harness");
  await page.locator("td.name a").first().waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  const seen = [];
  for (let n = 0; n < 16; n += 1) {
    await page.keyboard.press("Tab");
    seen.push(await page.evaluate(() => document.activeElement.textContent || document.activeElement.name || document.activeElement.id));
  }
  const wanted = ["flowtrail", "Flows", "Grid", "Stats", "Live", "Operations"];
  assert.deepEqual(seen.slice(0, wanted.length).map((text) => text.trim()), wanted);
  assert.ok(seen.includes("flow") && seen.includes("app"), seen.join());
  await close(page);
});

test("whoever has lost the focus to a new page begins at its content", async () => {
  const page = await open("/flows?app=history-harness");
  await page.locator("td.name a").first().click();
  await page.waitForURL("**/flows/*");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await close(page);
});
