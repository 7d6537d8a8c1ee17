"use strict";
// A figure that answers without a kernel: what is kept against what is learned, for every stored strength.

const SVG = "http://www.w3.org/2000/svg";
const SIZE = { width: 520, height: 380, left: 58, right: 20, top: 16, bottom: 50 };

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function scale(values, from, to) {
  const low = Math.min(...values), high = Math.max(...values), room = 0.06 * (high - low || 1);
  return (value) => from + ((value - low + room) / (high - low + 2 * room)) * (to - from);
}

function ticks(values) {
  const low = Math.min(...values), high = Math.max(...values);
  const step = [1, 2, 5, 10, 20, 25, 50].find((each) => (high - low) / each <= 6) || 100;
  const found = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) found.push(tick);
  return found;
}

function draw(root, data) {
  const points = [...data.sweep, ...data.others];
  const xs = points.flatMap((p) => [p.learned - p.learned_by, p.learned + p.learned_by]);
  const ys = points.flatMap((p) => [p.kept - p.kept_by, p.kept + p.kept_by]);
  const x = scale(xs, SIZE.left, SIZE.width - SIZE.right), y = scale(ys, SIZE.height - SIZE.bottom, SIZE.top);
  const svg = element("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", "aria-label": data.alternative });
  const floor = SIZE.height - SIZE.bottom;
  svg.append(element("line", { class: "axis", x1: SIZE.left, x2: SIZE.width - SIZE.right, y1: floor, y2: floor }));
  svg.append(element("line", { class: "axis", x1: SIZE.left, x2: SIZE.left, y1: SIZE.top, y2: floor }));
  for (const tick of ticks(xs)) svg.append(element("text", { x: x(tick), y: floor + 18, "text-anchor": "middle" }, tick));
  for (const tick of ticks(ys)) svg.append(element("text", { x: SIZE.left - 8, y: y(tick) + 4, "text-anchor": "end" }, tick));
  svg.append(element("text", { x: SIZE.width / 2, y: SIZE.height - 10, "text-anchor": "middle" }, data.x));
  const side = { x: 16, y: SIZE.height / 2, "text-anchor": "middle", transform: `rotate(-90 16 ${SIZE.height / 2})` };
  svg.append(element("text", side, data.y));
  const path = data.sweep.map((p, i) => `${i ? "L" : "M"}${x(p.learned)},${y(p.kept)}`).join("");
  svg.append(element("path", { d: path, fill: "none", stroke: "#0072b2", "stroke-width": 1.5 }));
  const marks = points.map((p, i) => {
    const color = i < data.sweep.length ? "#0072b2" : "#d55e00";
    const across = { x1: x(p.learned - p.learned_by), x2: x(p.learned + p.learned_by), y1: y(p.kept), y2: y(p.kept) };
    const along = { x1: x(p.learned), x2: x(p.learned), y1: y(p.kept - p.kept_by), y2: y(p.kept + p.kept_by) };
    for (const line of [across, along]) svg.append(element("line", { class: "interval", stroke: color, ...line }));
    const mark = element("circle", { cx: x(p.learned), cy: y(p.kept), r: 5, fill: color });
    svg.append(mark);
    if (i >= data.sweep.length) {
      const place = { x: x(p.learned) - 9, y: y(p.kept) - 7, "text-anchor": "end" };
      svg.append(element("text", place, p.name));
    }
    return mark;
  });
  const label = document.createElement("label");
  const slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: 0, max: data.sweep.length - 1, step: 1, value: data.start });
  const said = document.createElement("output");
  label.append("Strength λ", slider);
  root.replaceChildren(label, said, svg);
  function choose() {
    const point = data.sweep[slider.value];
    marks.forEach((mark, i) => {
      const here = i === Number(slider.value);
      mark.setAttribute("r", here ? 9 : 5);
      mark.classList.toggle("chosen", here);
    });
    slider.setAttribute("aria-valuetext", `λ = ${point.name}`);
    said.textContent =
      `λ = ${point.name}: kept ${point.kept.toFixed(1)} ± ${point.kept_by.toFixed(1)} %, ` +
      `learned ${point.learned.toFixed(1)} ± ${point.learned_by.toFixed(1)} %`;
  }
  slider.addEventListener("input", choose);
  choose();
}

document.addEventListener("DOMContentLoaded", () => {
  for (const root of document.querySelectorAll(".explore[data-source]")) {
    draw(root, JSON.parse(document.getElementById(root.dataset.source).textContent));
  }
});
