// Without a face. Keys pressed in the box around it stay there; else JupyterLab takes them for shortcuts of its own:
// an arrow leaves a menu for the next cell, Enter on a button edits the cell, a letter may change or delete it.
export default {
  render({ el }) {
    const guard = (event) => {
      const meant = event.ctrlKey || event.metaKey || event.altKey || event.key === "Escape" ||
        (event.key === "Enter" && event.shiftKey); // these are for JupyterLab wherever they are pressed
      if (!meant && el.closest(".widget-vbox")?.contains(event.target)) event.stopPropagation();
    };
    document.body.addEventListener("keydown", guard); // JupyterLab listens one step further out
    // What ipywidgets leaves without a name for those who hear the page; a readout is typed into after a click.
    const box = () => el.closest(".widget-vbox");
    const name = () => {
      for (const slider of box()?.querySelectorAll(".widget-slider") ?? []) {
        const label = slider.querySelector(".widget-label")?.textContent ?? "";
        for (const handle of slider.querySelectorAll("[role=slider]")) handle.setAttribute("aria-label", label);
        slider.querySelector(".widget-readout")?.setAttribute("tabindex", -1);
      }
      for (const player of box()?.querySelectorAll(".widget-play") ?? [])
        ["play or pause", "back to the start", "repeat"].forEach((words, i) => player.children[i]?.setAttribute("aria-label", words));
      for (const group of box()?.querySelectorAll(".widget-toggle-buttons") ?? []) {
        group.setAttribute("role", "group");
        group.setAttribute("aria-label", group.querySelector(".widget-label")?.textContent || "presets");
      }
    };
    const parts = new MutationObserver(name);
    requestAnimationFrame(() => { if (box()) parts.observe(box(), { childList: true, subtree: true }); name(); });
    el.classList.add("rlcourse-keys"); // on guard: tests wait for it
    return () => { parts.disconnect(); document.body.removeEventListener("keydown", guard); };
  },
};
