// What the operator who has signed in may do.

import { useContext } from "../vendor/hooks.js";
import { createContext } from "../vendor/preact.js";

export const Permission = createContext(/** @type {"read" | "change"} */ ("read"));

/** Whether to show what changes something. */
export function useMayChange() {
  return useContext(Permission) === "change";
}
