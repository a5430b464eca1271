// State machines as drawings, with the path that was taken.

import { drawn, element } from "./elements.js";

const BOX = { width: 108, height: 32 };
const STEP = { x: 140, y: 64 };
const MARGIN = { x: 4, y: 32 };
const SMALLEST = 0.8;

/** Return a machine's drawing; `steps` are the states of one entry in order, with their versions. */
export function machineView(machine, steps, label, actions) {
  const place = new Map(machine.states.map((state) => [state.name, state]));
  const columns = Math.max(...machine.states.map((state) => state.column)) + 1;
  const rows = Math.max(...machine.states.map((state) => state.row)) + 1;
  const width = (columns - 1) * STEP.x + BOX.width + 2 * MARGIN.x;
  const height = (rows - 1) * STEP.y + BOX.height + 2 * MARGIN.y;
  const taken = takenBetween(steps);
  const drawing = drawn("svg", {
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: "img",
    "aria-label": `${label}: ${steps.map((step) => step.state).join(", then ") || "no step yet"}`,
    class: "machine",
  });
  drawing.append(arrowHeads());
  const arrows = machine.arrows.filter((arrow) => arrow.from !== arrow.to);
  for (const is_taken of [false, true])
    for (const arrow of arrows)
      if (taken.has(`${arrow.from}>${arrow.to}`) === is_taken)
        drawing.append(arrowView(arrow, place, taken.get(`${arrow.from}>${arrow.to}`) ?? 0));
  const now = steps.at(-1)?.state ?? "absent";
  const visited = new Set(steps.map((step) => step.state));
  for (const state of machine.states)
    drawing.append(stateView(state, state.name === now, visited.has(state.name), steps, actions));
  drawing.style.minWidth = `${width * SMALLEST}px`;
  const shown = element("div", { class: "drawing", tabindex: "0", role: "group", "aria-label": label }, drawing);
  // Where there is no room for all of it, what is now is in the middle.
  requestAnimationFrame(() => {
    const share = (corner(place.get(now)).x + BOX.width / 2) / width;
    shown.scrollLeft = share * shown.scrollWidth - shown.clientWidth / 2;
  });
  return shown;
}

function takenBetween(steps) {
  const taken = new Map();
  let before = "absent";
  for (const { state } of steps) {
    if (state !== before) taken.set(`${before}>${state}`, (taken.get(`${before}>${state}`) ?? 0) + 1);
    before = state;
  }
  return taken;
}

function arrowHeads() {
  const head = (id) =>
    drawn(
      "marker",
      { id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto" },
      drawn("path", { d: "M0 0L8 4L0 8z", class: id }),
    );
  return drawn("defs", null, head("head"), head("head-taken"));
}

function corner(state) {
  return { x: MARGIN.x + state.column * STEP.x, y: MARGIN.y + state.row * STEP.y };
}

function arrowView(arrow, place, times) {
  const from = place.get(arrow.from);
  const to = place.get(arrow.to);
  const { d, x, y } = curve(corner(from), corner(to), from, to);
  return drawn(
    "g",
    { class: times > 0 ? "arrow taken" : "arrow" },
    drawn("title", null, `${arrow.from} → ${arrow.to}: ${arrow.events.join(", ")}`),
    drawn("path", { d, "marker-end": `url(#${times > 0 ? "head-taken" : "head"})` }),
    times > 1 ? drawn("text", { x, y, class: "times" }, `${times}×`) : null,
  );
}

/** Return an arrow's line: to the next column, between the rows to one further on, or back below. */
function curve(a, b, from, to) {
  const { width: w, height: h } = BOX;
  if (to.column > from.column) {
    const start = { x: a.x + w, y: a.y + h / 2 };
    const end = { x: b.x - 2, y: b.y + h / 2 };
    const middle = (start.x + end.x) / 2;
    if (to.column === from.column + 1)
      return {
        d: `M${start.x} ${start.y}C${middle} ${start.y} ${middle} ${end.y} ${end.x} ${end.y}`,
        x: middle - 8,
        y: (start.y + end.y) / 2 - 6,
      };
    const is_down = to.row > from.row || (to.row === from.row && from.row > 0);
    const between = is_down ? a.y + h + 16 : a.y - 16;
    const turn = STEP.x - w - 4;
    return {
      d:
        `M${start.x} ${start.y}C${start.x + turn / 2} ${start.y} ${start.x + turn / 2} ${between} ${start.x + turn} ${between}` +
        `L${end.x - turn} ${between}C${end.x - turn / 2} ${between} ${end.x - turn / 2} ${end.y} ${end.x} ${end.y}`,
      x: middle,
      y: between - 4,
    };
  }
  if (to.column === from.column) {
    const down = b.y > a.y;
    const x = a.x + w / 2 + (down ? 8 : -8);
    const start = down ? a.y + h : a.y;
    const end = down ? b.y - 2 : b.y + h + 2;
    return { d: `M${x} ${start}L${x} ${end}`, x: x + 4, y: (start + end) / 2 + 4 };
  }
  const start = { x: a.x + w / 2, y: a.y + h };
  const end = { x: b.x + w / 2, y: b.y + h + 2 };
  const low = Math.max(start.y, end.y) + 28;
  return {
    d: `M${start.x} ${start.y}C${start.x} ${low} ${end.x} ${low} ${end.x} ${end.y}`,
    x: (start.x + end.x) / 2,
    y: low - 2,
  };
}

function stateView(state, is_now, is_visited, steps, actions) {
  const { x, y } = corner(state);
  const step = steps.findLast((each) => each.state === state.name);
  const kind = is_now ? "now" : is_visited ? "visited" : "never";
  return drawn(
    "g",
    {
      class: `box ${kind}`,
      onclick: () => step !== undefined && actions.go(step.version),
    },
    drawn("title", null, step === undefined ? state.name : `${state.name}: entered last at event ${step.version}`),
    drawn("rect", { x, y, width: BOX.width, height: BOX.height, rx: 4 }),
    drawn("text", { x: x + BOX.width / 2, y: y + BOX.height / 2 + 4 }, state.name.replaceAll("_", " ")),
  );
}
