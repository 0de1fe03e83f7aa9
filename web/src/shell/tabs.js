/** Tabs of the views, and links within the page that open the view of their target. */

import { mount as mountDetails } from "../views/details.js";
import { mount as mountExplore } from "../views/explore.js";
import { mount as mountPaper } from "../views/paper.js";

/** @type {Record<string, (root: HTMLElement, context: import("../context.js").Context) => void>} */
const MOUNTS = { paper: mountPaper, explore: mountExplore, details: mountDetails };
const FIRST = "paper";

/**
 * Show the view that the state names, and mount each view when it is first shown.
 * @param {import("../context.js").Context} context
 */
export function showTabs(context) {
  const { state } = context;
  const tabs = /** @type {HTMLAnchorElement[]} */ ([...document.querySelectorAll("#tabs a")]);
  /** @type {Set<string>} */
  const mounted = new Set();
  const isOffered = (/** @type {string} */ name) =>
    name in MOUNTS && (name !== "explore" || context.islandNames("explore-").length > 0);
  for (const tab of tabs) tab.hidden = !isOffered(viewOfTab(tab));

  const show = () => {
    const target = targetOf(state.get("at"));
    const named = target?.closest("section.view")?.id.slice("view-".length);
    const wanted = state.get("view", named ?? FIRST);
    const view = isOffered(wanted) ? wanted : FIRST;
    for (const tab of tabs) {
      if (viewOfTab(tab) === view) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    for (const name of Object.keys(MOUNTS)) {
      const root = document.getElementById(`view-${name}`);
      if (root) root.hidden = name !== view;
    }
    const root = document.getElementById(`view-${view}`);
    if (root && !mounted.has(view)) {
      mounted.add(view);
      MOUNTS[view](root, context);
    }
    document.body.dataset.view = view;
  };
  show();
  goTo(state.get("at"));
  state.on(["view"], show);
  state.on(["at"], () => {
    show();
    goTo(state.get("at"));
  });
  document.addEventListener("click", (event) => followLink(event, state));
}

/** @param {HTMLAnchorElement} tab */
function viewOfTab(tab) {
  return tab.dataset.view ?? "";
}

/**
 * @param {string} id
 * @returns {HTMLElement | null}
 */
function targetOf(id) {
  return id ? document.getElementById(id) : null;
}

/**
 * Open every folded part that holds the element of an id, and scroll to it.
 * @param {string} id
 */
function goTo(id) {
  const target = targetOf(id);
  if (!target) return;
  for (let node = /** @type {Element | null} */ (target); node; node = node.parentElement) {
    if (node instanceof HTMLDetailsElement) node.open = true;
  }
  target.scrollIntoView();
}

/**
 * @param {MouseEvent} event
 * @param {import("../state.js").State} state
 */
function followLink(event, state) {
  const link = event.target instanceof Element ? event.target.closest("a[href^='#']") : null;
  if (!(link instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  if (link.dataset.view) {
    state.set({ view: link.dataset.view, at: null });
    window.scrollTo(0, 0);
    return;
  }
  const id = decodeURIComponent(link.hash.slice(1));
  const view = targetOf(id)?.closest("section.view")?.id.slice("view-".length);
  if (state.get("at") === id) goTo(id);
  else state.set({ view: view ?? state.get("view"), at: id });
}
