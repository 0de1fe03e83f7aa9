/** The view Explore: linked views of one text, one site and one unit. */

/**
 * Build the view.
 * @param {HTMLElement} root
 * @param {import("../context.js").Context} context
 */
export function mount(root, context) {
  const names = context.islandNames("explore-");
  const line = document.createElement("p");
  line.textContent = names.join(", ");
  root.append(line);
}
