/** Keys: `?` shows the list of keys, `/` goes to the search field of the view. */

/** Listen to the keys of the page. */
export function offerHelp() {
  const help = document.getElementById("help");
  if (!(help instanceof HTMLDialogElement)) return;
  document.getElementById("show-help")?.addEventListener("click", () => help.showModal());
  help.addEventListener("click", (event) => {
    if (event.target === help) help.close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (event.key === "?") {
      event.preventDefault();
      if (help.open) help.close();
      else help.showModal();
    } else if (event.key === "/" && !help.open) {
      const search = document.querySelector("section.view:not([hidden]) input[type=search]");
      if (search instanceof HTMLInputElement) {
        event.preventDefault();
        search.focus();
        search.select();
      }
    }
  });
}

/**
 * Whether keys belong to the element, because text is typed there.
 * @param {EventTarget | null} target
 */
export function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
}
