/** Search in Details: only results whose name, title or source holds the words stay. */

/**
 * Serve the search field of a view.
 * @param {HTMLElement} root
 */
export function offerSearch(root) {
  const field = root.querySelector("input[type=search]");
  const count = root.querySelector(".found");
  if (!(field instanceof HTMLInputElement)) return;
  const results = /** @type {HTMLElement[]} */ ([...root.querySelectorAll("article.result")]);
  const texts = results.map((result) => {
    const parts = [...result.querySelectorAll("h3, h4, .source, figcaption")];
    return parts.map((part) => part.textContent).join(" ").toLowerCase();
  });
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    results.forEach((result, index) => {
      result.hidden = !words.every((word) => texts[index].includes(word));
    });
    for (const folder of root.querySelectorAll("details.folder")) {
      if (!(folder instanceof HTMLDetailsElement) || !folder.querySelector("article.result")) continue;
      const isFound = Boolean(folder.querySelector("article.result:not([hidden])"));
      folder.hidden = !isFound;
      folder.open = words.length > 0 && isFound;
    }
    const found = results.filter((result) => !result.hidden).length;
    if (count) count.textContent = words.length ? `${found} of ${results.length}` : "";
  });
}
