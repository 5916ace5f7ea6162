import { html } from "../lib/html.js";
import { Heading } from "../parts/basics.js";

export function KeyView() {
  return html`<${Heading} title="KeyView" />`;
}
