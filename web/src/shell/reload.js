/** The page of a run that goes on loads itself again. */

/** Load the page again every so many seconds, as its box says, unless the reader unticks it. */
export function offerReload() {
  const box = document.getElementById("reload");
  if (!(box instanceof HTMLInputElement)) return;
  // A page without storage of its own, as inside a notebook, forgets the choice.
  try {
    box.checked = sessionStorage.getItem("reload") !== "off";
  } catch {
    box.checked = false;
  }
  box.addEventListener("change", () => {
    try {
      sessionStorage.setItem("reload", box.checked ? "on" : "off");
    } catch {
      // Forgotten.
    }
  });
  window.setInterval(() => {
    if (box.checked) window.location.reload();
  }, Number(box.dataset.seconds) * 1000);
}
