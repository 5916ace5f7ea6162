import { html } from "../lib/html.js";
import { Heading } from "../parts/basics.js";

export function ExplainView() {
  return html`<${Heading} title="ExplainView" />`;
}
