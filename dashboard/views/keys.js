import { html } from "../lib/html.js";
import { Heading } from "../parts/basics.js";

export function KeysView() {
  return html`<${Heading} title="KeysView" />`;
}
