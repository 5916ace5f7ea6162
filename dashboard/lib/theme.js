// Dark or light: as the operator chose, or as the system is.

const STORED = "keypool.theme";

/** @typedef {"system" | "light" | "dark"} Theme */

/** @returns {Theme} */
export function currentTheme() {
  const stored = localStorage.getItem(STORED);
  return stored === "light" || stored === "dark" ? stored : "system";
}

/** @param {Theme} theme */
export function chooseTheme(theme) {
  localStorage.setItem(STORED, theme);
  applyTheme();
}

/** Plots redraw when their colours change. */
export function applyTheme() {
  const theme = currentTheme();
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  dispatchEvent(new Event("themechange"));
}

/** Follows the system. */
export function initTheme() {
  applyTheme();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);
}
