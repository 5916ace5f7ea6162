import { html } from "../lib/html.js";
import { Heading } from "../parts/basics.js";

export function SettingsView() {
  return html`<${Heading} title="SettingsView" />`;
}
