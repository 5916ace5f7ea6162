import { html } from "../lib/html.js";
import { Heading } from "../parts/basics.js";

export function OverviewView() {
  return html`<${Heading} title="OverviewView" />`;
}
