// Adding keys: what is pasted is tried first, and shown entry by entry, before any key is added.

import { send, withParameters } from "../lib/api.js";
import { testKeys } from "../lib/bulk.js";
import { number } from "../lib/format.js";
import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { Field } from "../parts/basics.js";
import { Dialog } from "../parts/dialog.js";
import { Progress } from "../parts/key_selection.js";
import { errorText } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { useState } from "../vendor/hooks.js";

export function ImportDialog({ onClose, onChange }) {
  const [text, setText] = useState("");
  const [addDead, setAddDead] = useState(false);
  const [tried, setTried] = useState(null);
  const [added, setAdded] = useState(null);
  const [error, setError] = useState(null);
  const [isBusy, setBusy] = useState(false);

  const post = async (isDry, then) => {
    setBusy(true);
    setError(null);
    try {
      const query = { dry_run: isDry || null, add_dead: addDead || null };
      const path = withParameters("keys", query);
      then(await send("POST", path, text, { "content-type": "text/plain" }));
    } catch (error) {
      setError(error);
    }
    setBusy(false);
  };
  const add = () =>
    post(false, (result) => {
      setAdded(result);
      onChange();
    });
  // What was tried is not what would be added after a change.
  const change = (set) => (value) => {
    set(value);
    setTried(null);
  };
  const mayDiscard = () => added || text.trim() === "" || confirm(t("import.discard"));
  const close = () => mayDiscard() && onClose();
  const input = { text, onText: change(setText), addDead, onAddDead: change(setAddDead) };
  const buttons = { isBusy, tried, isEmpty: text.trim() === "", onTry: () => post(true, setTried) };
  return html`<${Dialog} title=${t("first.keys_add")} onClose=${close} wide>
    <div class="body">
      ${
        added
          ? html`<${Added} result=${added} onClose=${onClose} onChange=${onChange} />`
          : html`<${Input} ...${{ ...input, isBusy, mayDiscard }} />
              ${error && html`<p class="error" role="alert">${errorText(error)}</p>`}
              ${tried && html`<${Entries} result=${tried} />`}
              <${Buttons} ...${{ ...buttons, onAdd: add, onClose: close }} />
              ${isBusy && html`<progress aria-label=${t("loading")}></progress>`}`
      }
    </div>
  <//>`;
}

function Input({ text, onText, addDead, onAddDead, isBusy, mayDiscard }) {
  const readFile = async (event) => {
    const [file] = event.currentTarget.files;
    if (file && mayDiscard()) onText(await file.text());
  };
  return html`<${Field} label=${t("import.keys")} hint=${t("import.hint")}>
      <textarea
        value=${text}
        spellcheck="false"
        autocomplete="off"
        disabled=${isBusy}
        onInput=${(event) => onText(event.currentTarget.value)}
      ></textarea>
    <//>
    <${Field} label=${t("import.file")}>
      <input type="file" accept=".txt,.csv,.json,text/plain,text/csv,application/json" onChange=${readFile} />
    <//>
    <label class="check">
      <input type="checkbox" checked=${addDead} onChange=${(event) => onAddDead(event.currentTarget.checked)} />
      ${t("import.add_dead")}
    </label>`;
}

function Buttons({ isBusy, tried, isEmpty, onTry, onAdd, onClose }) {
  const n = tried?.counts.new ?? 0;
  return html`<footer>
    <button type="button" onClick=${onClose}>${t("cancel")}</button>
    <button type="button" class=${tried ? "" : "primary"} disabled=${isBusy || isEmpty} onClick=${onTry}>
      ${isBusy && !tried ? t("import.trying") : t("import.try")}
    </button>
    ${
      tried &&
      html`<button type="button" class="primary" disabled=${isBusy || n === 0} onClick=${onAdd}>
        ${isBusy ? t("import.adding", { n }) : t("import.add", { n })}
      </button>`
    }
  </footer>`;
}

/** What would become of each entry. */
function Entries({ result }) {
  const columns = [
    {
      id: "position",
      title: t("import.position"),
      class: "number",
      cell: ({ position }) => number(position),
    },
    { id: "hint", title: t("import.key"), cell: ({ hint }) => html`<code>${hint ?? "–"}</code>` },
    {
      id: "status",
      title: t("keys.state"),
      cell: ({ status }) =>
        html`<span class="badge entry-${status}">${ENTRY_SIGNS[status]} ${named("import.status", status)}</span>`,
    },
    { id: "reason", title: t("keys.reason"), cell: ({ reason }) => reason },
  ];
  return html`<p class="counts" role="status">
      ${Object.entries(result.counts)
        .filter(([, n]) => n > 0)
        .map(
          ([status, n]) =>
            html`<span key=${status} class="badge entry-${status}">${ENTRY_SIGNS[status]} ${named("import.status", status)}: ${number(n)}</span>`,
        )}
    </p>
    <div class="entries">
      <${Table} label=${t("import.entries")} columns=${columns} rows=${result.items} keyOf=${({ position }) => position} rowHeight=${36} />
    </div>`;
}

const ENTRY_SIGNS = { new: "+", duplicate: "=", known_dead: "✕", malformed: "!" };

/** The keys are added; they can be tested. */
function Added({ result, onClose, onChange }) {
  const ids = result.items.filter(({ status }) => status === "new").map(({ id }) => id);
  const [progress, setProgress] = useState(null);
  const [outcomes, setOutcomes] = useState({});
  const [error, setError] = useState(null);
  const test = async () => {
    const stop = new AbortController();
    const show = (done) => setProgress({ label: t("keys.test"), done, of: ids.length, stop });
    const onTested = (results) => {
      const counts = {};
      for (const { outcome } of results) counts[outcome] = (counts[outcome] ?? 0) + 1;
      setOutcomes(counts);
      show(results.length);
    };
    setError(null);
    show(0);
    try {
      await testKeys(ids, (body) => send("POST", "keys/test", body), onTested, stop.signal);
    } catch (error) {
      setError(error);
    }
    setProgress(null);
    onChange();
  };
  return html`<p role="status">${t("import.added", { n: ids.length })}</p>
    ${progress && html`<${Progress} ...${progress} />`}
    <p role="status">
      ${Object.entries(outcomes).map(([outcome, n]) => html` <span key=${outcome} class="badge">${named("outcome", outcome)}: ${number(n)}</span>`)}
    </p>
    ${error && html`<p class="error" role="alert">${errorText(error)}</p>`}
    <footer>
      ${ids.length > 0 && html`<button type="button" disabled=${progress !== null} onClick=${test}>${t("import.test")}</button>`}
      <button type="button" class="primary" onClick=${onClose}>${t("close")}</button>
    </footer>`;
}
