// Asks for a token, where the API takes one.

import { h } from "./dom.js";

let asking = null;

/** A token that the person gave. Several who ask at once get the same. `why` says what was wrong with the one before. */
export function askForToken(why) {
  asking ??= new Promise((given) => {
    const input = h("input", { id: "token", type: "password", required: true, autocomplete: "off", spellcheck: "false" });
    const done = (event) => {
      event.preventDefault();
      dialog.remove();
      asking = null;
      given(input.value.trim());
    };
    const dialog = h("dialog", { "aria-labelledby": "token-title", oncancel: (event) => event.preventDefault() },
      h("form", { class: "ask", onsubmit: done },
        h("h2", { id: "token-title" }, "A token, please"),
        why ? h("p", { class: "bad", role: "alert" }, why) : null,
        h("p", {}, "This server tells history to who has a token with the role ", h("code", {}, "read"), "."),
        h("label", { for: "token" }, "Token"), input,
        h("p", { class: "dim" }, "It stays in this tab and is forgotten when the tab is closed."),
        h("div", { class: "buttons" }, h("button", { class: "main", type: "submit" }, "Go on"))));
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}
