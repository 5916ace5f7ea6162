// Adding keys: what is pasted is tried first, and shown entry by entry, before any key is added.

import { send, withParameters } from "../lib/api.js";
import { number } from "../lib/format.js";
import { html } from "../lib/html.js";
import { named, t } from "../lib/i18n.js";
import { Field } from "../parts/basics.js";
import { Dialog } from "../parts/dialog.js";
import { errorText } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { useState } from "../vendor/hooks.js";

/** How many keys a request tests. */
const TESTED_AT_ONCE = 20;

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
      then(
        await send("POST", withParameters("keys", query), text, { "content-type": "text/plain" }),
      );
    } catch (error) {
      setError(error);
    }
    setBusy(false);
  };
  const tryIt = () => post(true, setTried);
  const add = () =>
    post(false, (result) => {
      setAdded(result);
      onChange();
    });
  const readFile = async (event) => {
    setText((await event.currentTarget.files[0]?.text()) ?? "");
    setTried(null);
  };
  const count = tried?.counts.new ?? 0;
  return html`<${Dialog} title=${t("first.keys_add")} onClose=${onClose} wide>
    <div class="body">
      ${
        added
          ? html`<${Added} result=${added} onClose=${onClose} onChange=${onChange} />`
          : html`<${Field} label=${t("import.keys")} hint=${t("import.hint")}>
                <textarea
                  value=${text}
                  spellcheck="false"
                  autocomplete="off"
                  disabled=${isBusy}
                  onInput=${(event) => {
                    setText(event.currentTarget.value);
                    setTried(null);
                  }}
                ></textarea>
              <//>
              <${Field} label=${t("import.file")}>
                <input type="file" accept=".txt,.csv,.json,text/plain,text/csv,application/json" onChange=${readFile} />
              <//>
              <label class="check">
                <input
                  type="checkbox"
                  checked=${addDead}
                  onChange=${(event) => {
                    setAddDead(event.currentTarget.checked);
                    setTried(null);
                  }}
                />
                ${t("import.add_dead")}
              </label>
              ${error && html`<p class="error" role="alert">${errorText(error)}</p>`}
              ${tried && html`<${Entries} result=${tried} />`}
              <footer>
                <button type="button" onClick=${onClose}>${t("cancel")}</button>
                <button type="button" class=${tried ? "" : "primary"} disabled=${isBusy || text.trim() === ""} onClick=${tryIt}>
                  ${isBusy && !tried ? t("import.trying") : t("import.try")}
                </button>
                ${
                  tried &&
                  html`<button type="button" class="primary" disabled=${isBusy || count === 0} onClick=${add}>
                    ${isBusy ? t("import.adding", { n: count }) : t("import.add", { n: count })}
                  </button>`
                }
              </footer>
              ${isBusy && html`<progress aria-label=${t("loading")}></progress>`}`
      }
    </div>
  <//>`;
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
  const ids = result.items
    .map(({ id, status }) => (status === "new" ? id : null))
    .filter((id) => id !== null);
  const [progress, setProgress] = useState(null);
  const [error, setError] = useState(null);
  const test = async () => {
    const outcomes = {};
    let done = 0;
    setError(null);
    setProgress({ done, outcomes });
    try {
      for (let at = 0; at < ids.length; at += TESTED_AT_ONCE) {
        let cursor = null;
        const some = ids.slice(at, at + TESTED_AT_ONCE);
        do {
          const page = await send(
            "POST",
            "keys/test",
            cursor ? { ids: some, cursor } : { ids: some },
          );
          for (const { outcome } of page.items) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
          done += page.items.length;
          cursor = page.next_cursor;
          setProgress({ done, outcomes: { ...outcomes } });
        } while (cursor);
      }
    } catch (error) {
      setError(error);
      setProgress(null);
    }
    onChange();
  };
  return html`<p role="status">${t("import.added", { n: ids.length })}</p>
    ${
      progress &&
      html`<progress value=${progress.done} max=${ids.length} aria-label=${t("keys.test")}></progress>
        <p role="status">
          ${t("keys.progress", { done: progress.done, of: ids.length })}
          ${Object.entries(progress.outcomes).map(([outcome, n]) => html` <span key=${outcome} class="badge">${named("outcome", outcome)}: ${number(n)}</span>`)}
        </p>`
    }
    ${error && html`<p class="error" role="alert">${errorText(error)}</p>`}
    <footer>
      ${ids.length > 0 && html`<button type="button" disabled=${progress !== null} onClick=${test}>${t("import.test")}</button>`}
      <button type="button" class="primary" onClick=${onClose}>${t("close")}</button>
    </footer>`;
}
