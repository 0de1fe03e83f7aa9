/**
 * What a view receives: the state, the data islands, and the colors of the theme.
 *
 * @typedef {Object} Context
 * @property {import("./state.js").State} state
 * @property {(prefix: string) => string[]} islandNames names of data islands
 * @property {(name: string) => any} readIsland data island of a name, still packed
 * @property {() => "light" | "dark"} theme theme that is shown now
 * @property {(listener: () => void) => void} onTheme tells when another theme is shown
 */

export {};
