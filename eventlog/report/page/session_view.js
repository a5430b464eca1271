// One session: its slider, its events, and its state at one of them.

import { button, element, fill } from "./elements.js";
import { drawPanel, panelCount, panelLabel, panelNames } from "./panels.js";
import { Plots } from "./plots.js";
import { roots } from "./states.js";
import { Timeline } from "./timeline.js";
import { valueText } from "./values.js";
import { brief, grouped, pathText, shellWord, timeText } from "./wording.js";

const FINDINGS = 4;
const PATIENCE = 200;

function after(milliseconds) {
  return new Promise((go) => setTimeout(go, milliseconds));
}

/** A session at a version; the page shows one at a time. */
export class SessionView {
  constructor(source, navigate, extras) {
    this.source = source;
    this.navigate = navigate;
    this.version = -1;
    this.pinned = Math.max(source.first, source.head - 1);
    this.panel = "changes";
    this.asked = 0;
    this.actions = {
      go: (version) => this.go(version),
      blame: (path, names, version) => this.blame(path, names, version ?? this.version),
      pin: (version) => this.pin(version),
      command: () => `eventlog at ${shellWord(`${source.session}@${this.version}`)} --full`,
    };
    this.timeline = new Timeline(source, this.actions);
    this.plots = source.series() === null ? null : new Plots(source, source.findings, this.actions);
    this.build(extras);
  }

  // ---- what there is ---------------------------------------------------------------------------

  build(extras) {
    const { source } = this;
    this.slider = element("input", {
      type: "range",
      id: "slider",
      min: source.first,
      max: source.head,
      step: 1,
      "aria-label": "version",
      oninput: () => this.go(Number(this.slider.value)),
    });
    this.number = element("input", {
      type: "number",
      class: "number",
      min: source.first,
      max: source.head,
      "aria-label": "Version number",
      onchange: () => this.go(Number(this.number.value)),
    });
    this.status = element("span", { class: "state" });
    this.happened = element("div", { class: "happened" });
    this.tabs = element("div", { class: "tabs", role: "tablist", "aria-label": "State", onkeydown: (event) => this.tabPressed(event) });
    this.body = element("div", { class: "panel", role: "tabpanel", id: "panel", tabindex: "0", onscroll: () => (this.isScrolled = this.body.scrollTop > 0) });
    this.note = element("div", { class: "blame", role: "status", hidden: true });
    this.findings = this.plots === null ? null : findingList(source.findings, this.actions);
    this.of = element("span", { class: "quiet head" }, `of ${grouped(source.head)}`);
    this.root = element(
      "div",
      { class: "session" },
      element(
        "header",
        { class: "bar" },
        element("h1", { dir: "auto" }, extras.title),
        this.status,
        element("span", { class: "spring" }),
        element(
          "div",
          { class: "step" },
          button("‹", () => this.go(this.version - 1), { "aria-label": "One event back" }),
          this.number,
          this.of,
          button("›", () => this.go(this.version + 1), { "aria-label": "One event on" }),
        ),
        ...extras.buttons,
      ),
      element(
        "section",
        { class: "versions", "aria-label": "Versions" },
        this.findings,
        this.plots === null ? null : this.plots.root,
        this.slider,
      ),
      element(
        "main",
        { class: "columns" },
        this.timeline.root,
        element("section", { class: "then", "aria-label": "State" }, this.happened, this.note, this.tabs, this.body),
      ),
    );
  }

  // ---- going somewhere -------------------------------------------------------------------------

  go(version) {
    const { first, head } = this.source;
    const there = Math.min(head, Math.max(first, Math.round(version) || first));
    if (there !== this.version) this.navigate(this.source.session, there);
    return this.show(there);
  }

  async show(version) {
    const asked = (this.asked += 1);
    const { first, head } = this.source;
    const there = Math.min(head, Math.max(first, version));
    this.version = there;
    // The list asks where it is, which is at hand until something else has changed.
    this.timeline.show(there);
    this.slider.value = String(there);
    this.number.value = String(there);
    this.plots?.show(there);
    this.note.hidden = true;
    const [state, line] = await Promise.all([
      this.source.state(there),
      there > first ? this.source.line(there) : null,
    ]);
    if (asked !== this.asked) return;
    const changed = this.source.changed(there);
    this.state = state;
    this.roots = roots(state);
    this.line = line;
    // Far into a long session a server takes longer for what changed than for what is there.
    this.changed = await Promise.race([changed, after(PATIENCE)]);
    if (asked !== this.asked) return;
    this.tell();
    await this.draw();
    if (this.changed !== undefined) return;
    this.changed = await changed;
    if (asked === this.asked) await this.draw();
  }

  /** Say that the version that an address names is not there. */
  noteMissing(version) {
    if (version === null || version === this.version) return;
    const there = version > this.version ? "the last one" : "the first one here";
    this.say(`There is no version ${grouped(version)}: this is ${there}.`);
  }

  say(text) {
    fill(this.note, text, button("×", () => (this.note.hidden = true), { class: "close", "aria-label": "Close" }));
    this.note.hidden = false;
  }

  tell() {
    const { line, version, source } = this;
    const status = this.roots.get("status") ?? "not there yet";
    const blocked = this.roots.get("meta")?.get("blocked_by");
    fill(this.status, blocked ? `${status}, blocked by ${blocked}` : status);
    this.status.className = blocked ? "state wrong" : "state";
    this.slider.setAttribute("aria-valuetext", line === null ? `version ${version}` : `version ${version}, ${line.type}, ${brief(line.text, 80)}`);
    if (line === null) {
      fill(this.happened, element("h2", null, version === 0 ? "Before the first event" : `Version ${version}`));
      return;
    }
    fill(
      this.happened,
      element("h2", null, element("span", { class: "version" }, grouped(version)), " ", line.type.replaceAll("_", " ")),
      element("p", { class: "gist", dir: "auto" }, line.text),
      element(
        "p",
        { class: "quiet" },
        `${timeText(line.time)} UTC`,
        line.actor === "" ? "" : ` · by ${line.actor}`,
        line.isInside ? " · inside an append, so the session never was in this state" : "",
        this.plots === null ? "" : ` · ${grouped(line.tokens)} live tokens`,
        source.redaction === null ? "" : ` · ${source.redaction} redacted`,
      ),
    );
  }

  async draw() {
    const asked = this.asked;
    const names = panelNames(this.roots);
    if (!names.includes(this.panel)) this.panel = "changes";
    this.drawTabs(names);
    const name = this.panel;
    const drawing = drawPanel(name, this);
    const is_here = () => asked === this.asked && name === this.panel;
    let panel = await Promise.race([drawing, after(PATIENCE)]);
    if (!is_here()) return;
    if (panel === undefined) {
      fill(this.body, element("p", { class: "empty", role: "status" }, "Looking …"));
      panel = await drawing;
    }
    if (!is_here()) return;
    fill(this.body, panel);
    this.body.setAttribute("aria-labelledby", `tab-${name}`);
    this.body.dataset.version = String(this.version);
    // The newest message is the last one; beside the list the panel scrolls by itself. To set where it
    // is, the browser lays out the page at once: only where that changes anything.
    if (name === "tail") this.body.scrollTop = this.body.scrollHeight;
    else if (this.isScrolled) this.body.scrollTop = 0;
  }

  drawTabs(names) {
    if (names.join() !== this.tabNames?.join()) {
      this.tabNames = names;
      this.tabOf = new Map(names.map((name) => [name, this.tab(name)]));
      fill(this.tabs, ...[...this.tabOf.values()].map((each) => each.root));
    }
    for (const [name, { root, count }] of this.tabOf) {
      const is_shown = name === this.panel;
      if (root.ariaSelected !== String(is_shown)) {
        root.ariaSelected = String(is_shown);
        root.tabIndex = is_shown ? 0 : -1;
      }
      const number = panelCount(name, this);
      const text = number === null || number === 0 ? "" : grouped(number);
      if (count.textContent !== text) count.textContent = text;
    }
  }

  tab(name) {
    const count = element("span", { class: "number" });
    const attributes = { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel", onclick: () => this.choose(name) };
    return { root: element("button", attributes, panelLabel(name), count), count };
  }

  choose(name) {
    this.panel = name;
    return this.draw();
  }

  async tabPressed(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const names = panelNames(this.roots);
    await this.choose(names[(names.indexOf(this.panel) + by + names.length) % names.length]);
    document.getElementById(`tab-${this.panel}`)?.focus();
  }

  pin(version) {
    this.pinned = Math.min(this.source.head, Math.max(this.source.first, version));
    this.panel = "compare";
    return this.draw();
  }

  /** Take over that the session went on; go to its newest event, or stay. */
  async grown(goes_on) {
    const { head } = this.source;
    this.slider.max = this.number.max = String(head);
    fill(this.of, `of ${grouped(head)}`);
    this.timeline.grown();
    if (goes_on) await this.go(head);
  }

  // ---- who changed it --------------------------------------------------------------------------

  async blame(path, names, version) {
    const asked = this.asked;
    const found = await this.source.blame(path, names, version);
    if (asked !== this.asked) return;
    const what = [pathText(path), ...names].join(" › ");
    this.note.hidden = false;
    if (found === null) {
      this.say(`${what}: no event up to here set it${this.source.first > 0 ? ", among those shown" : ""}.`);
      return;
    }
    const line = await this.source.line(found.version);
    fill(
      this.note,
      element("strong", null, what),
      " was set by ",
      button(`event ${found.version}, ${line?.type ?? ""}`, () => this.go(found.version), { class: "value go" }),
      ": ",
      element("span", { class: "old", dir: "auto" }, brief(valueText(found.before), 60)),
      " → ",
      element("span", { dir: "auto" }, brief(valueText(found.after), 60)),
      button("×", () => (this.note.hidden = true), { class: "close", "aria-label": "Close" }),
    );
    this.timeline.blame(found.version);
  }

  // ---- keys ------------------------------------------------------------------------------------

  /** Do what a key means; return whether it means something. */
  pressed(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1, l: 1, h: -1 };
    const key = event.key;
    if (key in steps) this.go(this.version + steps[key] * (event.shiftKey ? 10 : 1));
    else if (key === "j" || key === "n") this.timeline.step(1);
    else if (key === "k" || key === "p") this.timeline.step(-1);
    else if (key === "Home") this.go(this.source.first);
    else if (key === "End") this.go(this.source.head);
    else if (key === "/") this.timeline.search.focus();
    else if (key === "c") this.pin(this.version);
    else if (key === "Escape") this.note.hidden = true;
    else if (/^[1-9]$/.test(key)) this.chooseNumber(Number(key));
    else return false;
    return true;
  }

  chooseNumber(number) {
    const name = panelNames(this.roots)[number - 1];
    if (name !== undefined) this.choose(name);
  }

  printed(is_begun) {
    this.timeline.print(is_begun);
  }
}

function findingList(findings, actions) {
  if (findings.length === 0) return element("p", { class: "sound" }, "Nothing wrong was found: the chain verifies, and every promise holds.");
  const wrong = findings.filter((each) => each.is_wrong).length;
  const list = element("ul", { class: "findings", "aria-label": "Findings" });
  const row = (finding) =>
    element(
      "li",
      { class: finding.is_wrong ? "wrong" : "" },
      element("span", { class: "source" }, finding.source.replaceAll("_", " ")),
      finding.version === null
        ? null
        : button(`event ${grouped(finding.version)}`, () => actions.go(finding.version), { class: "value go" }),
      element(
        "span",
        { class: "detail" },
        element("span", { dir: "auto" }, finding.detail),
        finding.count > 1 ? element("span", { class: "quiet" }, ` and ${grouped(finding.count - 1)} more`) : null,
      ),
    );
  list.append(...findings.slice(0, FINDINGS).map(row));
  if (findings.length > FINDINGS)
    list.append(
      element("li", { class: "more" }, button(`Show ${grouped(findings.length - FINDINGS)} more`, (event) => {
        event.target.parentElement.replaceWith(...findings.slice(FINDINGS, 200).map(row));
      }, { class: "plain-button" })),
    );
  if (wrong === 0) list.prepend(element("li", { class: "sound" }, "Nothing wrong was found. Worth a look:"));
  return list;
}

