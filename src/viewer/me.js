// What whoever looks may do, as the server says.

import { get } from "./api.js";

let known = null;

/** Asks once. Without an answer nothing but looking is offered. */
export async function me() {
  known ??= await get("me").catch(() => ({ name: "", user: null, roles: ["read"], reruns: [] }));
  return known;
}

/** Whether this may be offered: a role, and for `operate` on a run, that its app can be asked to run it again. */
export function may(role, app = undefined) {
  return Boolean(known?.roles.includes(role) && (app === undefined || known.reruns.includes(app)));
}
