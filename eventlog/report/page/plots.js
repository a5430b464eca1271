// Tokens and time over the events, as small drawings above the slider.

import { drawn, element, fill } from "./elements.js";
import { counted, grouped, lengthText } from "./wording.js";

const WIDTH = 1000;
const HEIGHT = 40;
const POINTS = 500;

/** The drawings of a session, and the line that shows where the slider is. */
export class Plots {
  constructor(source, findings, actions) {
    const { tokens, times } = source.series();
    this.tokens = [0, ...tokens];
    this.times = [times[0] ?? 0, ...times];
    this.first = source.first;
    this.count = tokens.length;
    this.now = [];
    this.said = [];
    const since = this.times.map((time, place) => Math.max(0, time - (this.times[place - 1] ?? time)));
    this.root = element(
      "div",
      { class: "plots" },
      this.plot("Live tokens", this.tokens, actions, "area"),
      this.plot("Time since the event before", since.map((gap) => Math.sqrt(gap)), actions, "bars"),
      this.marks(findings, actions),
    );
  }

  plot(label, numbers, actions, kind) {
    const high = Math.max(1, ...folded(numbers, Math.max));
    const points = folded(numbers, Math.max);
    const x = (place) => (points.length < 2 ? 0 : (place / (points.length - 1)) * WIDTH);
    const y = (number) => HEIGHT - 1 - (number / high) * (HEIGHT - 4);
    const line = points.map((number, place) => `${x(place).toFixed(1)} ${y(number).toFixed(1)}`);
    const d =
      kind === "area"
        ? `M0 ${HEIGHT}L${line.join("L")}L${x(points.length - 1)} ${HEIGHT}z`
        : points.map((number, place) => `M${x(place).toFixed(1)} ${HEIGHT}V${y(number).toFixed(1)}`).join("");
    const now = drawn("path", { class: "cursor", d: `M0 0V${HEIGHT}` });
    this.now.push(now);
    const said = element("span", { class: "figure" });
    this.said.push(said);
    return element(
      "figure",
      null,
      element("figcaption", null, label, " ", said),
      drawn(
        "svg",
        {
          viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
          preserveAspectRatio: "none",
          role: "img",
          "aria-label": `${label}, over ${counted(this.count, "event")}`,
          onclick: (event) => {
            const box = event.currentTarget.getBoundingClientRect();
            const share = (event.clientX - box.left) / box.width;
            actions.go(this.first + Math.round(share * this.count));
          },
        },
        drawn("path", { class: kind, d }),
        now,
      ),
    );
  }

  marks(findings, actions) {
    const lane = element("div", { class: "marks", "aria-hidden": "true" });
    for (const finding of findings.slice(0, 200)) {
      if (finding.version === null || finding.version <= this.first) continue;
      const mark = element("span", {
        class: finding.is_wrong ? "mark wrong" : "mark",
        title: `${finding.source} at ${finding.version}`,
        onclick: () => actions.go(finding.version),
      });
      mark.style.left = `${(this.share(finding.version) * 100).toFixed(2)}%`;
      lane.append(mark);
    }
    return lane;
  }

  share(version) {
    return (version - this.first) / Math.max(1, this.count);
  }

  show(version) {
    const x = (this.share(version) * WIDTH).toFixed(1);
    for (const line of this.now) line.setAttribute("d", `M${x} 0V${HEIGHT}`);
    const place = version - this.first;
    const gap = place > 0 ? this.times[place] - this.times[place - 1] : 0;
    fill(this.said[0], grouped(this.tokens[place] ?? 0));
    fill(this.said[1], lengthText(gap));
  }
}

/** Return at most as many numbers as are drawn, each of those that it is for. */
function folded(numbers, choose) {
  if (numbers.length <= POINTS) return numbers;
  const size = numbers.length / POINTS;
  return Array.from({ length: POINTS }, (_, place) =>
    choose(...numbers.slice(Math.floor(place * size), Math.max(Math.floor(place * size) + 1, Math.floor((place + 1) * size)))),
  );
}
