// Radio buttons and one button. The click carries the choice with it: a busy kernel hears of both or of neither.
export default {
  render({ model, el }) {
    const form = document.createElement("form");
    for (const choice of model.get("choices")) {
      const radio = Object.assign(document.createElement("input"), { type: "radio", name: "choice", value: choice });
      const label = document.createElement("label");
      label.style.cssText = "display: block; margin: 4px 0";
      label.append(radio, ` ${choice}`);
      form.append(label);
    }
    const button = document.createElement("button");
    button.className = "jupyter-widgets jupyter-button";
    button.style.width = "200px";
    form.append(button);
    const show = () => {
      const committed = model.get("committed");
      if (committed !== null) form.elements.choice.value = committed;
      for (const part of form.elements) part.disabled = committed !== null;
      button.textContent = committed === null ? "This is my prediction" : "Committed";
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const choice = form.elements.choice.value;
      if (!choice) return;
      model.set("committed", choice); // shown at once, however long the kernel takes
      model.send({ choice });
    });
    model.on("change:committed", show);
    show();
    el.append(form);
  },
};
