// An <img> with an alternative text that reports clicks (as fractions of its size) and arrow keys.
export default {
  render({ model, el }) {
    const image = document.createElement("img");
    image.className = "rlcourse-picture";
    image.tabIndex = 0;
    image.style.maxWidth = "100%";
    const show = () => {
      const stale = image.src;
      image.style.width = `${model.get("width")}px`;
      image.src = URL.createObjectURL(new Blob([model.get("png")], { type: "image/png" }));
      if (stale) URL.revokeObjectURL(stale);
    };
    image.addEventListener("click", (event) => {
      const box = image.getBoundingClientRect(); // unlike offsetX it is right where the page is zoomed
      model.send({ x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height });
    });
    image.addEventListener("keydown", (event) => {
      if (!event.key.startsWith("Arrow")) return;
      event.preventDefault(); // else the page scrolls
      model.send({ key: event.key });
    });
    const describe = () => { image.alt = model.get("alt"); };
    model.on("change:alt", describe); // its words may change where its points do not
    model.on("change:png", show);
    describe();
    show();
    el.appendChild(image);
  },
};
