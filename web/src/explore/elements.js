/** Elements of the page made without markup, so that no text of a corpus is read as HTML. */

/**
 * Make an element.
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, string>} [attributes] `text` is its text
 * @param {(Node | string)[]} [children]
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function element(name, attributes = {}, children = []) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") made.textContent = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/**
 * Make a field with its label.
 * @param {string} words
 * @param {HTMLElement} field
 */
export function labeled(words, field) {
  return element("label", {}, [element("span", { text: words }), field]);
}

/**
 * Make a list of choices.
 * @param {string} name
 * @param {[string, string][]} choices value and words
 * @returns {HTMLSelectElement}
 */
export function choice(name, choices) {
  const options = choices.map(([value, words]) => element("option", { value, text: words }));
  return element("select", { name }, options);
}
