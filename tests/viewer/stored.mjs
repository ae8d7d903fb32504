// Ends once everything that was published is stored.

import { api, until } from "./browser.mjs";

await until("all is stored", async () => (await api("freshness")).behind_records === 0);
