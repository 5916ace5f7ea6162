// A button that opens a list of actions.

import { html } from "../lib/html.js";
import { useEffect, useRef, useState } from "../vendor/hooks.js";

/**
 * `actions` are `{name, act, danger?}`; those that are falsy are left out.
 */
export function Menu({ label, actions, children = "⋯" }) {
  const [isOpen, setOpen] = useState(false);
  const menu = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (!isOpen) return;
    const closeOutside = (event) => {
      if (!menu.current?.contains(event.target)) setOpen(false);
    };
    const closeScrolled = () => setOpen(false);
    document.addEventListener("pointerdown", closeOutside);
    document.addEventListener("focusin", closeOutside);
    place(menu.current);
    document.addEventListener("scroll", closeScrolled, { capture: true });
    itemsOf(menu.current)[0]?.focus({ preventScroll: true });
    return () => {
      document.removeEventListener("scroll", closeScrolled, { capture: true });
      document.removeEventListener("pointerdown", closeOutside);
      document.removeEventListener("focusin", closeOutside);
    };
  }, [isOpen]);
  const press = (event) => {
    const items = itemsOf(menu.current);
    const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" && isOpen) {
      event.preventDefault();
      setOpen(false);
      menu.current.querySelector("button").focus();
    } else if (isOpen && step) {
      event.preventDefault();
      items[(at + step + items.length) % items.length].focus();
    }
  };
  const choose = (action) => {
    setOpen(false);
    menu.current.querySelector("button").focus();
    action.act();
  };
  return html`<div class="menu" ref=${menu} onKeyDown=${press}>
    <button
      type="button"
      class="quiet"
      aria-haspopup="menu"
      aria-expanded=${isOpen}
      aria-label=${label}
      onClick=${() => setOpen(!isOpen)}
    >
      ${children}
    </button>
    ${
      isOpen &&
      html`<div role="menu" aria-label=${label}>
        ${actions.filter(Boolean).map(
          (action) => html`<button
              type="button"
              role="menuitem"
              class=${action.danger ? "danger" : ""}
              key=${action.name}
              onClick=${() => choose(action)}
            >
              ${action.name}
            </button>`,
        )}
      </div>`
    }
  </div>`;
}

/** Below the button, or above it where there is no room. A table would clip what is inside it. */
function place(menu) {
  const list = menu.querySelector("[role=menu]");
  const { top, bottom, right } = menu.getBoundingClientRect();
  const isBelow = bottom + list.offsetHeight <= innerHeight || top < list.offsetHeight;
  list.style.right = `${Math.max(document.documentElement.clientWidth - right, 8)}px`;
  list.style.top = `${isBelow ? bottom : top - list.offsetHeight}px`;
}

/** @returns {HTMLElement[]} */
function itemsOf(menu) {
  return [...menu.querySelectorAll("[role=menuitem]")];
}
