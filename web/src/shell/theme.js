/** Light and dark: the reader's system, or the choice of the switch, kept in the state. */

/**
 * Follow the theme of the state, and offer the switch.
 * @param {import("../state.js").State} state
 * @returns {{shown: () => "light" | "dark", on: (listener: () => void) => void}}
 */
export function themeOf(state) {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  /** @type {(() => void)[]} */
  const listeners = [];
  /** @returns {"light" | "dark"} */
  const shown = () => {
    const chosen = state.get("theme", system.matches ? "dark" : "light");
    return chosen === "dark" ? "dark" : "light";
  };
  const button = document.getElementById("theme");
  const apply = () => {
    document.documentElement.dataset.theme = shown();
    button?.setAttribute("aria-pressed", String(shown() === "dark"));
    for (const listener of listeners) listener();
  };
  apply();
  state.on(["theme"], apply);
  system.addEventListener("change", apply);
  button?.addEventListener("click", () => {
    state.set({ theme: shown() === "dark" ? "light" : "dark" });
  });
  return { shown, on: (listener) => void listeners.push(listener) };
}
