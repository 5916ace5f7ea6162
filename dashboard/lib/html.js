// Preact with templates instead of JSX, which browsers cannot read.

import htm from "../vendor/htm.js";
import { h } from "../vendor/preact.js";

export const html = htm.bind(h);
