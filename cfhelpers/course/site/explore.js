"use strict";
// Figures that answer without a kernel: what is kept against what is learned, for stored settings of stored methods.

const SVG = "http://www.w3.org/2000/svg";
const SIZE = { width: 520, height: 380, left: 58, right: 56, top: 16, bottom: 50 };
const BLUE = "#0072b2", ORANGE = "#d55e00", GREY = "#8a8a8a";

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

// Axes with their labels, and the scales that put a point on them.
function plane(data, points) {
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
  return { svg, x, y };
}

function mark({ svg, x, y }, point, color, bars = true) {
  const across = { x1: x(point.learned - point.learned_by), x2: x(point.learned + point.learned_by), y1: y(point.kept), y2: y(point.kept) };
  const along = { x1: x(point.learned), x2: x(point.learned), y1: y(point.kept - point.kept_by), y2: y(point.kept + point.kept_by) };
  if (bars) for (const line of [across, along]) svg.append(element("line", { class: "interval", stroke: color, ...line }));
  const made = element("circle", { cx: x(point.learned), cy: y(point.kept), r: 5, fill: color });
  svg.append(made);
  return made;
}

function join({ svg, x, y }, points) {
  const path = points.map((p, i) => `${i ? "L" : "M"}${x(p.learned)},${y(p.kept)}`).join("");
  svg.append(element("path", { d: path, fill: "none", stroke: BLUE, "stroke-width": 1.5 }));
}

function ring(marks, chosen) {
  marks.forEach((each, i) => {
    each.setAttribute("r", i === chosen ? 9 : 5);
    each.classList.toggle("chosen", i === chosen);
  });
}

function numbers(point) {
  return (
    `kept ${point.kept.toFixed(1)} ± ${point.kept_by.toFixed(1)} %, ` +
    `learned ${point.learned.toFixed(1)} ± ${point.learned_by.toFixed(1)} %`
  );
}

function labelled(text, control) {
  const label = document.createElement("label");
  label.append(text, control);
  return label;
}

function range(last, start) {
  return Object.assign(document.createElement("input"), { type: "range", min: 0, max: last, step: 1, value: start });
}

// One method: move along its strengths.
function strengths(root, data) {
  const figure = plane(data, [...data.sweep, ...data.others]);
  join(figure, data.sweep);
  const marks = data.sweep.map((point) => mark(figure, point, BLUE));
  for (const point of data.others) {
    mark(figure, point, ORANGE);
    const place = { x: figure.x(point.learned) + 9, y: figure.y(point.kept) - 7 };
    figure.svg.append(element("text", place, point.name));
  }
  const slider = range(data.sweep.length - 1, data.start), said = document.createElement("output");
  root.replaceChildren(labelled("Strength λ", slider), said, figure.svg);
  function choose() {
    const point = data.sweep[slider.value];
    ring(marks, Number(slider.value));
    slider.setAttribute("aria-valuetext", `λ = ${point.name}`);
    said.textContent = `λ = ${point.name}: ${numbers(point)}`;
  }
  slider.addEventListener("input", choose);
  choose();
}

// All methods: choose one, and move along its settings; the others stay grey.
function methods(root, data) {
  const select = document.createElement("select"), slider = range(0, 0), said = document.createElement("output");
  for (const { name } of data.methods) select.append(new Option(name, name));
  select.value = data.start;
  const figure = plane(data, data.methods.flatMap((method) => method.settings));
  for (const method of data.methods) for (const point of method.settings) mark(figure, point, GREY, false);
  const front = element("g", {});
  figure.svg.append(front);
  root.replaceChildren(labelled("Method", select), labelled("Setting", slider), said, figure.svg);
  let settings = [], marks = [];
  function show() {
    const point = settings[slider.value], count = `setting ${Number(slider.value) + 1} of ${settings.length}`;
    ring(marks, Number(slider.value));
    slider.setAttribute("aria-valuetext", `${count}: ${point.name}`);
    const why = point.chosen ? "; chosen on validation data" : "";
    said.textContent = `${select.value}, ${point.name} (${count}${why}): ${numbers(point)}`;
  }
  function choose() {
    ({ settings } = data.methods.find((method) => method.name === select.value));
    front.replaceChildren();
    const drawing = { ...figure, svg: front };
    for (const curve of new Set(settings.map((point) => point.curve)))
      join(drawing, settings.filter((point) => point.curve === curve));
    marks = settings.map((point) => mark(drawing, point, BLUE));
    slider.max = settings.length - 1;
    slider.value = Math.max(0, settings.findIndex((point) => point.chosen));
    slider.disabled = settings.length === 1;
    show();
  }
  select.addEventListener("input", choose);
  slider.addEventListener("input", show);
  choose();
}

const FIGURES = { strengths, methods };

document.addEventListener("DOMContentLoaded", () => {
  for (const root of document.querySelectorAll(".explore[data-figure]")) {
    const data = document.getElementById(`${root.dataset.figure}-data`);
    FIGURES[root.dataset.figure](root, JSON.parse(data.textContent));
  }
});
