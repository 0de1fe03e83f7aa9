/** Buttons that copy: `data-copy="link"`, or the text of the element that `data-copy` names. */

const SHOWN_MILLISECONDS = 1500;

/**
 * Serve every copy button of the page.
 * @param {import("../state.js").State} state
 */
export function offerCopies(state) {
  document.body.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("[data-copy]") : null;
    if (!(button instanceof HTMLButtonElement)) return;
    const source = button.dataset.copy ?? "";
    const address = window.location.href.split("#")[0] + state.fragment();
    const text = source === "link" ? address : document.getElementById(source)?.textContent;
    void copy(text ?? "").then((done) => say(button, done ? "Copied" : "Not copied"));
  });
}

/**
 * Copy a text; where the browser gives no clipboard, by a selection.
 * @param {string} text
 * @returns {Promise<boolean>} whether it was copied
 */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

/**
 * Show a word on a button for a moment.
 * @param {HTMLButtonElement} button
 * @param {string} word
 */
function say(button, word) {
  const before = button.dataset.label ?? button.textContent ?? "";
  button.dataset.label = before;
  button.textContent = word;
  window.setTimeout(() => {
    button.textContent = before;
  }, SHOWN_MILLISECONDS);
}
