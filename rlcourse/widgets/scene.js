// Draws a scene (scene.py) as SVG: its headline, its views, what a pointer reads, what a hand moves.
const SVG = "http://www.w3.org/2000/svg";
const MORPH = 250; // milliseconds from one picture to the next
const STILL = matchMedia("(prefers-reduced-motion: reduce)");
const CSS = `
.rlcourse-scene { width: 100%; position: relative; font-size: var(--rlcourse-letters, 14px); line-height: 1.3 }
.rlcourse-scene > p { font-weight: bold; font-size: 1.15em; margin: 0.4em 0 0.2em; min-height: 1.3em }
.rlcourse-scene svg { display: block; width: 100%; user-select: none; font-family: var(--jp-ui-font-family, sans-serif) }
.rlcourse-scene svg:focus-visible, .rlcourse-scene .handle:focus-visible { outline: 3px solid #E69F00; outline-offset: 2px }
.rlcourse-scene .handle { cursor: grab } .rlcourse-scene .held { cursor: grabbing }
.rlcourse-scene .tip { position: absolute; pointer-events: none; padding: 2px 7px; border-radius: 4px; z-index: 9;
  background: var(--jp-layout-color0, #fff); border: 1px solid #777; white-space: pre }
.rlcourse-scene button { margin: 0.2em 0; font-size: 0.9em }
.rlcourse-scene .lost { color: #fff; background: #A84900; padding: 2px 8px }`;

const WRITER = new Intl.NumberFormat("en", { maximumFractionDigits: 9 }); // once: it takes longer to make than a picture to draw

const isDark = () => document.body.dataset.jpThemeLight === "false";
const nice = (value) => {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e6) return WRITER.format(Number(value.toPrecision(4))).replace("-", "−");
  const [front, power] = value.toExponential(1).split("e"), raised = [...String(Number(power))].map((sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]).join("");
  return (front === "1.0" ? `10${raised}` : `${front}·10${raised}`).replace("-", "−");
};

function element(tag, attributes, parent, words) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (words !== undefined) made.textContent = words;
  parent?.append(made);
  return made;
}

// Numbers on the way from one picture to the next; what has no counterpart is there at once.
function between(before, after, part) {
  if (typeof after === "number" && typeof before === "number") return before + part * (after - before);
  if (Array.isArray(after)) {
    if (!Array.isArray(before) || before.length !== after.length) return after;
    return after.map((value, i) => between(before[i], value, part));
  }
  if (after === null || typeof after !== "object" || before === null || typeof before !== "object") return after;
  if (after.kind !== before.kind) return after;
  return Object.fromEntries(Object.entries(after).map(([name, value]) => [name, between(before[name], value, part)]));
}

function ticks({ low, high, log, ticks: given }, room) {
  if (given) return given;
  const [least, most] = [Math.min(low, high), Math.max(low, high)];
  if (log) {
    const found = [];
    for (let power = Math.ceil(Math.log10(least) - 1e-9); 10 ** power <= most * (1 + 1e-9); power++) found.push(10 ** power);
    if (found.length < 3) return [...Array(40).keys()].flatMap((k) => [1, 2, 5].map((times) => times * 10 ** (k - 20)))
      .filter((value) => value >= least && value <= most).map((value) => [value, nice(value)]);
    const step = Math.ceil(found.length / room);
    return found.filter((_, i) => i % step === 0).map((value) => [value, nice(value)]);
  }
  const rough = (most - least) / room || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough * 0.999);
  const found = [];
  for (let k = Math.ceil(least / step - 1e-9); k * step <= most + 1e-9 * step; k++) found.push([k * step, nice(k * step)]);
  return found;
}

// Lines of at most so many letters, broken between words.
function wrapped(words, most) {
  const lines = [""];
  for (const word of words.split(" ")) {
    if (lines.at(-1) && lines.at(-1).length + 1 + word.length > most) lines.push("");
    lines[lines.length - 1] += (lines.at(-1) && " ") + word;
  }
  return lines;
}

function scale({ low, high, log }, from, to) {
  const map = log ? Math.log : (value) => value, back = log ? Math.exp : (value) => value;
  const [start, size] = [map(low), map(high) - map(low) || 1];
  const there = (value) => from + ((map(value) - start) / size) * (to - from);
  there.back = (place) => back(start + ((place - from) / (to - from)) * size);
  return there;
}

// One view in the box (left, top, width, height). Returns how to get from data to pixels, and what a pointer can read.
function drawView(svg, view, box, em, palette, letters) {
  const labels = view.marks.filter((mark) => mark.label && mark.kind !== "handle");
  const discs = view.marks.filter((mark) => mark.kind === "handle" || (mark.kind === "dots" && mark.x.length === 1));
  const aside = labels.length ? Math.max(0, ...discs.map((mark) => [mark.size].flat()[0])) : 0; // labels make way for them
  const wide = (Math.max(0, ...labels.map((mark) => mark.label.length)) * 0.6 + aside) * em;
  const steps = ticks(view.y, Math.max(2, Math.floor(box.height / (4.5 * em))));
  const margin = { left: (0.9 + 0.6 * Math.max(0, ...steps.map(([, words]) => words.length))) * em, right: Math.min(wide + em, 0.4 * box.width) };
  const title = view.title ? wrapped(view.title, (box.width - margin.left) / (0.6 * em)) : [];
  margin.top = (title.length ? 0.4 + 1.3 * title.length : 0.4) * em + (view.y.label ? 1.4 * em : 0);
  const below = view.x.label ? wrapped(view.x.label, (box.width - margin.left) / (0.56 * em)) : [];
  margin.bottom = (below.length ? 1.8 + 1.3 * below.length : 1.8) * em;
  if (view.x.ticks?.length === 0 && !view.x.label) margin.bottom = 0.6 * em;
  const area = { left: box.left + margin.left, top: box.top + margin.top,
    width: Math.max(20, box.width - margin.left - margin.right), height: Math.max(20, box.height - margin.top - margin.bottom) };
  if (view.equal) { // the largest rectangle of the data's own shape
    const across = Math.abs(view.x.high - view.x.low), down = Math.abs(view.y.high - view.y.low);
    const unit = Math.min(area.width / across, area.height / down);
    area.left += (area.width - unit * across) / 2;
    [area.width, area.height] = [unit * across, unit * down];
  }
  const x = scale(view.x, area.left, area.left + area.width), y = scale(view.y, area.top + area.height, area.top);
  const group = element("g", { class: "view", "data-view": view.name }, svg);
  const color = (name) => palette[name] ?? name, letter = (name) => letters[name] ?? color(name);
  const write = (place, height, words, extra = {}) =>
    element("text", { x: place, y: height, fill: palette.ink, "font-size": em, ...extra }, group, words);

  const low = area.top + area.height;
  const writeLines = (place, height, lines, extra) => {
    if (!lines.length) return;
    const whole = write(place, height, undefined, extra);
    lines.forEach((words, i) => element("tspan", { x: place, dy: i && 1.3 * em }, whole, i + 1 < lines.length ? `${words} ` : words));
  };
  writeLines(box.left + margin.left, box.top + 1.1 * em, title, { "font-weight": "bold" });
  if (view.y.label) write(box.left + Math.max(0.3 * em, margin.left - 3 * em), area.top - 0.6 * em, view.y.label, { fill: letter("grey") });
  writeLines(area.left + area.width / 2, low + 2.7 * em, below, { "text-anchor": "middle", fill: letter("grey") });
  for (const [value, words] of steps) {
    if (words && !view.equal) element("line", { x1: area.left, x2: area.left + area.width, y1: y(value), y2: y(value), stroke: palette.faint }, group);
    write(area.left - 0.5 * em, y(value) + 0.35 * em, words, { "text-anchor": "end", fill: letter("grey") });
  }
  if (!view.equal && view.x.ticks?.length !== 0) element("line", { x1: area.left, x2: area.left + area.width, y1: low, y2: low, stroke: palette.grey }, group);
  for (const [value, words] of ticks(view.x, Math.max(2, Math.floor(area.width / (5 * em)))))
    write(x(value), low + 1.35 * em, words, { "text-anchor": "middle", fill: letter("grey") });

  const clip = `clip${Math.random().toString(36).slice(2)}`;
  element("rect", { x: area.left - 2, y: area.top - 2, width: area.width + 4, height: area.height + 4 },
    element("clipPath", { id: clip }, group));
  const inside = element("g", { "clip-path": `url(#${clip})` }, group), above = element("g", {}, group);
  const readable = [], ends = []; // what a pointer reads is written when one comes
  const read = (px, py, words) => { if (Number.isFinite(px) && Number.isFinite(py)) readable.push([px, py, words]); };
  const numbers = (label, a, b) => `${label ? `${label}\n` : ""}${view.x.label || "x"}: ${nice(a)}\n${view.y.label || "y"}: ${nice(b)}`;
  const at = (value, i) => (Array.isArray(value) ? value[i] : value);
  const path = (xs, ys) => {
    let pen = "M", out = "";
    xs.forEach((value, i) => {
      if (value === null || ys[i] === null) { pen = "M"; return; }
      out += `${pen}${x(value).toFixed(1)} ${y(ys[i]).toFixed(1)}`;
      pen = "L";
    });
    return out;
  };
  const end = (mark, xs, ys) => { // where a curve's label stands
    if (!mark.label) return;
    let last = ys.length - 1;
    while (last > 0 && ys[last] === null) last--;
    const height = Math.min(Math.max(y(ys[last] ?? 0), area.top), low);
    ends.push({ place: Math.min(x(xs[last]), area.left + area.width) + (mark.kind === "dots" ? at(mark.size, last) * em : 0), height, words: mark.label, color: letter(mark.color) });
  };

  for (const mark of view.marks) {
    const paint = { fill: color(at(mark.color, 0)) };
    if (mark.kind === "line") {
      element("path", { class: "mark", d: path(mark.x, mark.y), fill: "none", stroke: color(mark.color), "stroke-width": (mark.width * em) / 14,
        "stroke-dasharray": mark.dash ? `${0.5 * em} ${0.35 * em}` : "none", "stroke-linejoin": "round" }, inside);
      mark.x.forEach((value, i) => mark.y[i] !== null && read(x(value), y(mark.y[i]), () => numbers(mark.label, value, mark.y[i])));
      end(mark, mark.x, mark.y);
    } else if (mark.kind === "area") {
      const back = [...mark.x].reverse(), down = [...mark.low].reverse();
      element("path", { class: "mark", d: `${path(mark.x, mark.high)}L${path(back, down).slice(1)}Z`, "fill-opacity": mark.alpha, ...paint }, inside);
      end(mark, mark.x, mark.high.map((value, i) => view.y.log ? value : (value + mark.low[i]) / 2));
    } else if (mark.kind === "dots") {
      mark.x.forEach((value, i) => {
        if (value === null || mark.y[i] === null) return;
        const ink = color(at(mark.color, i)), hollow = mark.hollow;
        element("circle", { class: "mark", cx: x(value).toFixed(1), cy: y(mark.y[i]).toFixed(1), r: at(mark.size, i) * em, fill: hollow ? "none" : ink,
          stroke: hollow ? ink : "none", "stroke-width": 2, "fill-opacity": at(mark.alpha, i) }, inside);
        read(x(value), y(mark.y[i]), () => mark.names[i] ?? numbers(mark.label, value, mark.y[i]));
      });
      end({ ...mark, color: at(mark.color, mark.x.length - 1) }, mark.x, mark.y);
    } else if (mark.kind === "bars") {
      mark.x.forEach((value, i) => {
        const [left, right] = [x(value - mark.width / 2), x(value + mark.width / 2)];
        const [top, bottom] = [y(Math.max(mark.high[i], mark.low[i])), y(Math.min(mark.high[i], mark.low[i]))];
        element("rect", { class: "mark", x: Math.min(left, right), width: Math.abs(right - left), y: top, height: Math.max(0, bottom - top),
          "fill-opacity": mark.alpha, fill: color(at(mark.color, i)) }, inside);
        read((left + right) / 2, (top + bottom) / 2, () => numbers(mark.label, value, mark.high[i] - mark.low[i]));
      });
      const last = mark.x.length - 1;
      if (mark.label) ends.push({ place: x(mark.x[last] + mark.width / 2), height: (y(mark.high[last]) + y(mark.low[last])) / 2, words: mark.label, color: letter(at(mark.color, last)) });
    } else if (mark.kind === "patches") {
      mark.corners.forEach((corners, i) => {
        const points = corners.map(([a, b]) => [x(a), y(b)]);
        element("polygon", { class: "mark", points: points.map((point) => point.map((part) => part.toFixed(1)).join()).join(" "),
          fill: color(mark.color[i]), stroke: palette.faint, "stroke-width": 0.7 }, inside);
        const middle = [0, 1].map((k) => points.reduce((sum, point) => sum + point[k], 0) / points.length);
        if (mark.names[i]) read(...middle, () => mark.names[i]);
      });
    } else if (mark.kind === "arrows") {
      mark.x.forEach((value, i) => {
        const [x1, y1, x2, y2] = [x(value), y(mark.y[i]), x(value + mark.dx[i]), y(mark.y[i] + mark.dy[i])];
        const far = Math.hypot(x2 - x1, y2 - y1), ink = color(at(mark.color, i)), head = Math.min(0.6 * em, far / 2);
        if (far < 1) return;
        const [ux, uy] = [(x2 - x1) / far, (y2 - y1) / far], [bx, by] = [x2 - head * ux, y2 - head * uy];
        element("line", { x1, y1, x2: bx, y2: by, stroke: ink, "stroke-width": (mark.width * em) / 14 }, inside);
        element("polygon", { points: `${x2},${y2} ${bx - 0.5 * head * uy},${by + 0.5 * head * ux} ${bx + 0.5 * head * uy},${by - 0.5 * head * ux}`, fill: ink }, inside);
      });
    } else if (mark.kind === "text") {
      mark.words.forEach((words, i) => element("text", { x: x(mark.x[i]), y: y(mark.y[i]) + 0.35 * mark.size * em, fill: letter(at(mark.color, i)),
        "text-anchor": mark.anchor, "font-size": mark.size * em, "font-weight": mark.bold ? "bold" : "normal" }, above, words));
    } else if (mark.kind === "handle") {
      const own = mark.stops.length ? [...mark.stops].sort(([a], [b]) => Math.abs(a - mark.x) - Math.abs(b - mark.x))[0][1] : mark.x - mark.zero;
      const disc = element("circle", { class: "mark handle", cx: x(mark.x), cy: y(mark.y), r: mark.size * em, fill: color(mark.color), stroke: palette.ink,
        "stroke-width": 2, tabindex: 0, role: "slider", "aria-label": mark.label, "aria-valuenow": mark.along_x ? own : mark.y,
        "aria-valuetext": [mark.along_x && nice(own), mark.along_y && nice(mark.y)].filter(Boolean).join(", ") }, above);
      disc.mark = mark;
      read(x(mark.x), y(mark.y), () => `${mark.label}: drag`);
    }
  }
  // A label does not begin under a single disc, as what a hand takes hold of is.
  for (const { x: a, y: b, size } of discs)
    for (const one of ends) if (Math.abs(x(at(a, 0)) - one.place) < at(size, 0) * em && Math.abs(y(at(b, 0)) - one.height) < at(size, 0) * em) one.place += at(size, 0) * em;
  // Labels that would lie on each other make way, downwards and then up again where the bottom is near.
  ends.sort((a, b) => a.height - b.height);
  ends.forEach((one, i) => { if (i) one.height = Math.max(one.height, ends[i - 1].height + 1.2 * em); });
  for (let i = ends.length - 1, room = low + 0.4 * em; i >= 0; i--, room = ends[i + 1].height - 1.2 * em) ends[i].height = Math.min(ends[i].height, room);
  for (const one of ends) write(one.place + 0.4 * em, one.height + 0.35 * em, one.words, { fill: one.color, class: "label" });
  return { view, area, x, y, readable };
}

export default {
  render({ model, el }) {
    const root = document.createElement("div"), headline = document.createElement("p"), caption = document.createElement("div"), tip = document.createElement("div");
    const style = document.createElement("style"), svg = element("svg", { class: "rlcourse-picture", role: "img" });
    const more = document.createElement("button"), lost = document.createElement("div");
    root.className = "rlcourse-scene";
    style.textContent = CSS;
    Object.assign(tip, { className: "tip", hidden: true });
    Object.assign(lost, { className: "lost", hidden: true, textContent: "Not connected: run this cell again." });
    more.className = "jupyter-widgets jupyter-button";
    headline.setAttribute("aria-live", "polite");
    root.append(style, lost, headline, caption, svg, tip, more);
    let shown = null, target = null, started = 0, arrived = 0, frame = 0, open = false, places = [], hold = null;

    const draw = () => {
      const em = parseFloat(getComputedStyle(root).fontSize), width = root.clientWidth;
      if (!width || !shown?.main) return;
      const { day, night, letters: words } = model.get("colors"), [palette, letters] = isDark() ? [night, night] : [day, words];
      const others = open ? shown.others : [];
      const box = svg.getBoundingClientRect(), zoom = box.width / width || 1;
      const room = (innerHeight - box.top - scrollY) / zoom - 4 * em; // down to the window's end, in a demo
      const fills = getComputedStyle(root).getPropertyValue("--rlcourse-fill").trim() === "1";
      const least = (views) => (views.every((view) => view.equal) ? 13 : 26) * em; // maps have nothing beside them
      const side = (views) => (fills || width / views.length >= least(views) ? views.length : 1); // else below each other
      const rows = (views) => views.length / side(views);
      const tall = Math.max(Math.min(0.42 * width, 460), 16 * em) * (rows(shown.main) + (others.length ? 0.6 * rows(others) : 0));
      const height = fills ? Math.max(200, room) : tall;
      const focus = [...svg.querySelectorAll(".handle")].indexOf(document.activeElement);
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.style.height = `${height}px`;
      svg.replaceChildren();
      const first = others.length ? (height * rows(shown.main)) / (rows(shown.main) + 0.6 * rows(others)) : height;
      const place = (views, top, high) => views.map((view, i) => {
        const across = width / side(views), down = high / rows(views);
        const box = { left: (i % side(views)) * across, top: top + Math.floor(i / side(views)) * down, width: across, height: down };
        return drawView(svg, view, box, em, palette, letters);
      });
      places = [...place(shown.main, 0, first), ...place(others, first, height - first)];
      svg.querySelectorAll(".handle")[focus]?.focus();
    };
    const step = (now) => {
      const part = Math.min(1, Math.max(0, now - started) / MORPH), from = step.from;
      shown = part === 1 ? target : between(from, target, part * (2 - part)); // fast at first: the hand sees an answer
      draw();
      frame = part === 1 ? 0 : requestAnimationFrame(step);
      root.dataset.still = frame === 0;
    };
    const show = () => {
      const fresh = JSON.parse(model.get("scene")), now = performance.now(), hurried = now - arrived < 2 * MORPH;
      arrived = now;
      lost.hidden = true;
      headline.textContent = fresh.headline;
      caption.textContent = fresh.caption;
      cancelAnimationFrame(frame);
      step.from = shown;
      target = fresh;
      // Whoever drags wants the picture now, not a film of its change.
      started = shown === null || hurried || hold || STILL.matches || document.hidden ? now - MORPH : now;
      root.dataset.scenes = Number(root.dataset.scenes ?? 0) + 1;
      more.style.display = fresh.others?.length ? "" : "none";
      if (started < now) step(now);
      else [frame, root.dataset.still] = [requestAnimationFrame(step), false]; // nothing has moved yet
    };
    const toggle = () => {
      more.textContent = open ? "Main picture only" : "More pictures";
      more.title = (target.others ?? []).map((view) => view.title).join(", ");
      more.setAttribute("aria-expanded", open);
      draw();
    };
    more.addEventListener("click", () => { open = !open; toggle(); });

    const pointer = (event) => {
      const box = svg.getBoundingClientRect(), zoom = box.width / svg.clientWidth; // the page may be zoomed
      return [(event.clientX - box.left) / zoom, (event.clientY - box.top) / zoom];
    };
    const under = ([px, py]) => places.find(({ area }) => px >= area.left - 1 && px <= area.left + area.width + 1 && py >= area.top - 1 && py <= area.top + area.height + 1);
    // A trait, not a message: a busy kernel gets the latest only, and the hand never runs ahead of the picture.
    const report = (moved) => {
      model.set("moved", { ...moved, count: (model.get("moved").count ?? 0) + 1 });
      model.save_changes();
    };
    const drag = (event) => {
      const [px, py] = pointer(event), { where, mark, kind } = hold;
      const clamp = (value, low, high) => Math.min(Math.max(value, Math.min(low, high)), Math.max(low, high));
      const x = clamp(where.x.back(px), where.view.x.low, where.view.x.high), y = clamp(where.y.back(py), where.view.y.low, where.view.y.high);
      const far = ([place]) => Math.abs(where.x(place) - px);
      const stop = mark?.stops.length ? [...mark.stops].sort((a, b) => far(a) - far(b))[0][1] : x - (mark?.zero ?? 0);
      report(mark ? { along_x: mark.along_x, along_y: mark.along_y, x: stop, y } : { view: where.view.name, kind, x, y });
      hold.kind = "drag";
    };
    svg.addEventListener("pointerdown", (event) => {
      const mark = event.target.mark, where = mark ? places.find(({ view }) => view.marks.includes(mark)) : under(pointer(event));
      if (event.button || !where || (!mark && !where.view.touch)) return;
      hold = { where, mark, kind: "press" };
      svg.setPointerCapture(event.pointerId);
      svg.classList.add("held");
      event.preventDefault(); // else the page selects text
      if (mark) event.target.focus(); else { svg.focus(); drag(event); }
      tip.hidden = true;
    });
    svg.addEventListener("touchstart", (event) => { if (hold) event.preventDefault(); }, { passive: false }); // else the page scrolls
    svg.addEventListener("pointermove", (event) => {
      if (hold) return drag(event);
      const [px, py] = pointer(event), near = places.flatMap(({ readable }) => readable)
        .map(([a, b, words]) => [Math.hypot(a - px, b - py), a, b, words]).sort((a, b) => a[0] - b[0])[0];
      tip.hidden = !near || near[0] > 24;
      if (tip.hidden) return;
      tip.textContent = near[3]();
      const right = near[1] > 0.7 * svg.clientWidth;
      Object.assign(tip.style, { top: `${svg.offsetTop + near[2] + 12}px`, left: right ? "" : `${near[1] + 12}px`, right: right ? `${svg.clientWidth - near[1] + 12}px` : "" });
    });
    svg.addEventListener("pointerleave", () => { tip.hidden = true; });
    for (const kind of ["pointerup", "pointercancel"]) svg.addEventListener(kind, () => { hold = null; svg.classList.remove("held"); });
    svg.addEventListener("keydown", (event) => {
      const mark = event.target.mark;
      if (!event.key.startsWith("Arrow") && !(mark && ["Home", "End"].includes(event.key))) return;
      if (!mark && svg.tabIndex < 0) return;
      event.preventDefault(); // else the page scrolls
      report({ key: event.key, along_x: mark?.along_x ?? "", along_y: mark?.along_y ?? "" });
    });

    const describe = () => {
      svg.setAttribute("aria-label", model.get("alt"));
      svg.setAttribute("tabindex", model.get("takes_keys") ? 0 : -1);
    };
    // After a restart of the kernel nothing would answer: say so, until something does.
    const connection = () => { lost.hidden = false; };
    // JupyterLab hides the page while it changes its theme: what is hidden has no width to draw in.
    const themes = new MutationObserver(() => requestAnimationFrame(draw)), sizes = new ResizeObserver(draw);
    themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
    sizes.observe(root);
    model.on("change:scene", show);
    model.on("change:alt", describe);
    model.on("comm_live_update", connection);
    el.append(root);
    describe();
    show();
    toggle();
    return () => { themes.disconnect(); sizes.disconnect(); cancelAnimationFrame(frame); };
  },
};
