/** Switch of the null models and controls: `null=off` in the state hides them in every view. */

/**
 * Serve the switch.
 * @param {import("../state.js").State} state
 */
export function offerNulls(state) {
  const button = document.getElementById("nulls");
  const show = () => {
    const areShown = state.get("null") !== "off";
    button?.setAttribute("aria-pressed", String(areShown));
    // The style leaves out figures that show nothing but a null model.
    document.body.dataset.nulls = areShown ? "on" : "off";
  };
  show();
  state.on(["null"], show);
  button?.addEventListener("click", () => {
    state.set({ null: state.get("null") === "off" ? null : "off" });
  });
}
