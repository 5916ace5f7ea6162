import { html } from "../lib/html.js";
import { Heading } from "../parts/basics.js";

export function CallsView() {
  return html`<${Heading} title="CallsView" />`;
}
