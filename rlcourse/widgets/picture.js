// An <img> with an alternative text that reports clicks (as fractions of its size) and arrow keys.
export default {
  render({ model, el }) {
    const image = document.createElement("img");
    image.className = "rlcourse-picture";
    image.tabIndex = 0;
    image.style.maxWidth = "100%";
    const show = () => {
      const stale = image.src;
      image.alt = model.get("alt");
      image.style.width = `${model.get("width")}px`;
      image.src = URL.createObjectURL(new Blob([model.get("png")], { type: "image/png" }));
      if (stale) URL.revokeObjectURL(stale);
    };
    image.addEventListener("click", (event) =>
      model.send({ x: event.offsetX / image.clientWidth, y: event.offsetY / image.clientHeight }));
    image.addEventListener("keydown", (event) => {
      if (!event.key.startsWith("Arrow")) return;
      event.preventDefault(); // else the page scrolls
      model.send({ key: event.key });
    });
    model.on("change:png", show);
    show();
    el.appendChild(image);
  },
};
