import { html } from "../lib/html.js";
import { Heading } from "../parts/basics.js";

export function RequestView() {
  return html`<${Heading} title="RequestView" />`;
}
