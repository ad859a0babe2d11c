// Radio buttons in a row and one button. The click carries the choice with it: a busy kernel hears of both or of neither.
export default {
  render({ model, el }) {
    const form = document.createElement("form");
    form.style.cssText = "display: flex; flex-wrap: wrap; align-items: center; gap: 4px 20px; margin: 4px 0 4px 2px";
    model.get("choices").forEach((choice, number) => {
      const radio = Object.assign(document.createElement("input"), { type: "radio", name: "choice", value: choice });
      const letter = "ABCDEFGH"[number];
      const label = Object.assign(document.createElement("label"), { title: choice });
      radio.ariaLabel = `${letter}: ${choice}`;
      label.append(radio, ` ${letter}`);
      form.append(label);
    });
    const button = document.createElement("button");
    button.className = "jupyter-widgets jupyter-button";
    button.style.width = "180px";
    const problem = Object.assign(document.createElement("span"), { role: "status" });
    form.append(button, problem);
    let sending = false;
    const show = () => {
      const committed = model.get("committed");
      if (committed !== null) form.elements.choice.value = committed;
      for (const part of form.elements) part.disabled = sending || committed !== null;
      button.textContent = committed !== null ? "Committed" : sending ? "sending…" : "This is my prediction";
      problem.textContent = sending ? "" : model.get("problem");
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const choice = form.elements.choice.value;
      if (!choice) return;
      sending = true; // until the kernel has stored it, which takes as long as the kernel is busy
      show();
      model.send({ choice });
    });
    const answered = () => {
      sending = false;
      show();
    };
    model.on("change:committed", answered);
    model.on("change:problem", answered);
    show();
    el.append(form);
  },
};
