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
    el.classList.add("rlcourse-keys"); // on guard: tests wait for it
    return () => document.body.removeEventListener("keydown", guard);
  },
};
