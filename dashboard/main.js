// The operators' dashboard: a page that uses the admin API and nothing else.
//
// | folder | contents |
// |---|---|
// | `views/` | one file per view |
// | `parts/` | what views are made of: tables, plots, dialogs |
// | `lib/` | requests, routes, languages, formats; most of it pure and unit-tested |
// | `strings/` | the texts, one file per language |
// | `vendor/` | Preact, htm and uPlot, copied from npm by `vendor.mjs` |
//
// There is no build step: the browser loads these files as they are.

import { App } from "./app.js";
import { html } from "./lib/html.js";
import { initLanguage } from "./lib/i18n.js";
import { initTheme } from "./lib/theme.js";
import { render } from "./vendor/preact.js";

initTheme();
initLanguage();
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
