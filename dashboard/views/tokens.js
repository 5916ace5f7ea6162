import { html } from "../lib/html.js";
import { Heading } from "../parts/basics.js";

export function TokensView() {
  return html`<${Heading} title="TokensView" />`;
}
