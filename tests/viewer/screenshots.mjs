// Pictures of the pages for docs/images, light and dark.

import { mkdir } from "node:fs/promises";
import { BASE, launch } from "./browser.mjs";
import { FAILING, ORIGINAL, RERUN } from "./names.mjs";

const FOLDER = new URL("../../docs/images/", import.meta.url).pathname;
const PAGES = {
  list: ["/flows?since=-1h&min_duration_ms=1", "td.name a"],
  run: ["/flows/3ccf3de9dc7a3cc13f48d62a898ec63b?step=3", ".panel .json-tree"],
  failure: [`/flows/${FAILING}?step=2`, ".panel .json-tree"],
  compare: [`/compare/${ORIGINAL}/${RERUN}`, ".pair"],
  operations: ["/operations", "tbody tr"],
};

await mkdir(FOLDER, { recursive: true });
const browser = await launch();
for (const theme of ["light", "dark"]) {
  for (const [name, [path, drawn]] of Object.entries(PAGES)) {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: theme, timezoneId: "UTC" });
    await page.goto(BASE + path);
    await page.locator(drawn).first().waitFor();
    await page.locator("#freshness time").waitFor();
    await page.screenshot({ path: `${FOLDER}${name}-${theme}.png` });
    await page.close();
  }
}
await browser.close();
