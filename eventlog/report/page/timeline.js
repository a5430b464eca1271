// The list of events: only the rows that can be seen are there.

import { element, fill } from "./elements.js";
import { counted, grouped, timeText, visible } from "./wording.js";

const ROW = 48;
const BEYOND = 8;
const UNKNOWN_HEIGHT = 600;
const PRINTED = 500;
// Of an id that is made by the library, the end tells it from others; there is little room in a row.
const LONG_ID = /(?<![0-9a-z])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{8}([0-9a-f]{4})\b/g;

/** Events in order, filtered; a filter chooses what is shown and changes no state. */
export class Timeline {
  constructor(source, actions) {
    this.source = source;
    this.actions = actions;
    this.versions = null;
    this.rows = [];
    this.shown = 0;
    this.version = source.head;
    this.blamed = 0;
    // Where the list is: to ask the browser costs a layout of the page whenever anything has changed.
    this.top = 0;
    this.height = UNKNOWN_HEIGHT;
    this.wanted = null;
    this.prints = false;
    this.space = element("div", { class: "space" });
    this.list = element(
      "div",
      {
        class: "rows",
        role: "listbox",
        tabindex: "0",
        "aria-label": "Events",
        onscroll: () => this.scrolled(),
        onkeydown: (event) => this.pressed(event),
      },
      this.space,
    );
    this.count = element("p", { class: "count", role: "status" });
    this.search = element("input", {
      type: "search",
      placeholder: "Search texts, tools, names",
      "aria-label": "Search events",
      oninput: () => this.filter(),
    });
    this.type = this.choice("Type of event", "all types");
    this.actor = this.choice("Actor", "all actors");
    this.root = element(
      "section",
      { class: "timeline", "aria-label": "Timeline" },
      element("div", { class: "filters" }, this.search, this.type, this.actor),
      this.count,
      this.list,
    );
    this.offer();
    this.asked = 0;
    new ResizeObserver(() => this.resized()).observe(this.list);
    this.tell();
  }

  choice(label, all) {
    const select = element(
      "select",
      { "aria-label": label, onchange: () => this.filter() },
      element("option", { value: "" }, all),
    );
    return select;
  }

  offer() {
    const { types, actors } = this.source.names();
    const offers = (select, names) => {
      const chosen = select.value;
      while (select.options.length > 1) select.remove(1);
      for (const [name, number] of names)
        select.append(element("option", { value: name }, number === null ? name : `${name} (${grouped(number)})`));
      select.value = chosen;
      select.hidden = names.length === 0;
    };
    offers(this.type, types);
    offers(this.actor, actors);
  }

  get size() {
    return this.versions === null ? this.source.head - this.source.first : this.versions.length;
  }

  versionAt(place) {
    return this.versions === null ? this.source.first + 1 + place : this.versions[place];
  }

  /** Return the place of a version in the list, or of the last one before it. */
  placeOf(version) {
    if (this.versions === null) return version - this.source.first - 1;
    let low = 0;
    let high = this.versions.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.versions[middle] <= version) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  async filter() {
    const asked = (this.asked += 1);
    const wanted = { text: this.search.value.trim(), type: this.type.value, actor: this.actor.value };
    const found = await this.source.filtered(wanted);
    if (asked !== this.asked) return;
    this.versions = found;
    this.tell();
    this.reveal(this.version);
    this.draw();
  }

  /** Take over that there are more events. */
  async grown() {
    if (this.versions !== null) await this.filter();
    else this.draw();
    this.tell();
  }

  tell() {
    const all = this.source.head - this.source.first;
    const shown = this.versions === null ? "" : `${grouped(this.size)} of `;
    fill(this.count, `${shown}${counted(all, "event")}`);
  }

  show(version) {
    this.version = version;
    this.blamed = 0;
    this.reveal(version);
    this.draw();
  }

  /** Mark the event that a value is from. */
  blame(version) {
    this.blamed = version;
    this.reveal(version);
    this.draw();
  }

  reveal(version) {
    this.stretch();
    if (this.isSeen(version)) return;
    const wanted = Math.max(0, this.placeOf(version)) * ROW - this.height / 3;
    this.scroll(Math.max(0, Math.min(Math.round(wanted), this.size * ROW - this.height)));
  }

  isSeen(version) {
    const top = Math.max(0, this.placeOf(version)) * ROW;
    return top >= this.top && top + ROW <= this.top + this.height;
  }

  /** Give the list the height of all its events. */
  stretch() {
    const height = `${this.size * ROW}px`;
    if (this.space.style.height !== height) this.space.style.height = height;
  }

  /** Scroll in the next frame, when the page is laid out once for all that has changed. */
  scroll(top) {
    if (this.wanted === null)
      requestAnimationFrame(() => {
        this.list.scrollTop = this.wanted;
        this.wanted = null;
      });
    this.top = this.wanted = top;
  }

  scrolled() {
    if (this.wanted !== null) return;
    this.top = this.list.scrollTop;
    this.draw(false);
  }

  /** Keep the event that is shown in sight if it was. */
  resized() {
    const was_seen = this.isSeen(this.version);
    this.height = this.list.clientHeight || UNKNOWN_HEIGHT;
    if (was_seen) this.reveal(this.version);
    this.draw();
  }

  /** Show events for paper, all that a list may have there, or those in sight again. */
  print(is_begun) {
    this.prints = is_begun;
    this.draw();
  }

  draw(again = true) {
    this.stretch();
    let first = Math.max(0, Math.floor(this.top / ROW) - BEYOND);
    let last = Math.min(this.size, Math.ceil((this.top + this.height) / ROW) + BEYOND);
    if (this.prints) {
      const middle = Math.max(0, this.placeOf(this.version));
      first = Math.max(0, Math.min(middle - PRINTED / 2, this.size - PRINTED));
      last = Math.min(this.size, first + PRINTED);
    }
    // Going to a version scrolls as well: the rows that are there already stay.
    if (!again && this.first === first && this.last === last) return;
    this.first = first;
    this.last = last;
    // A row that is there already is used again for whatever comes into view.
    while (this.rows.length < last - first) this.rows.push(this.row());
    for (let place = first; place < last; place += 1) this.write(this.rows[place - first], place);
    if (this.shown !== last - first)
      this.space.replaceChildren(...this.rows.slice(0, last - first).map((row) => row.root));
    this.shown = last - first;
    const chosen = this.rows.slice(0, this.shown).find((row) => row.version === this.version);
    if (chosen === undefined) this.list.removeAttribute("aria-activedescendant");
    else this.list.setAttribute("aria-activedescendant", chosen.root.id);
  }

  /** Return a row for any event. */
  row() {
    const texts = Object.fromEntries(["number", "type", "time", "line"].map((name) => [name, document.createTextNode("")]));
    const type = element("span", { class: "type" }, texts.type);
    const row = { texts, type, version: 0, attributes: {} };
    row.root = element(
      "div",
      { role: "option", onclick: () => this.actions.go(row.version) },
      element("span", { class: "version" }, texts.number),
      type,
      element("span", { class: "time" }, texts.time),
      element("span", { class: "line", dir: "auto" }, texts.line),
    );
    return row;
  }

  /** Write an event into a row: what is there already is not touched. */
  write(row, place) {
    const version = this.versionAt(place);
    const line = this.source.lineNow(version);
    const attributes = {
      class: `row${version === this.blamed ? " blamed" : ""}${version > this.version ? " later" : ""}`,
      id: `event-${version}`,
      "aria-selected": String(version === this.version),
      "aria-posinset": String(place + 1),
      "aria-setsize": String(this.size),
      style: `top:${place * ROW}px`,
    };
    for (const [name, value] of Object.entries(attributes)) {
      if (row.attributes[name] === value) continue;
      if (name === "style") row.root.style.top = `${place * ROW}px`;
      else row.root.setAttribute(name, value);
    }
    row.attributes = attributes;
    const texts = { number: grouped(version), type: "…", time: "", line: "" };
    if (line !== null) {
      texts.type = line.type.replaceAll("_", " ");
      texts.time = timeText(line.time).slice(11, 19);
      texts.line = (line.text || line.actor).replace(LONG_ID, "…$1");
    }
    for (const [name, text] of Object.entries(texts)) {
      const shown = visible(text);
      if (row.texts[name].data !== shown) row.texts[name].data = shown;
    }
    const kind = /fail|expired|interrupt|abandon|crash/.test(line?.type) ? "type wrong" : "type";
    if (row.type.className !== kind) row.type.className = kind;
    row.version = version;
  }

  pressed(event) {
    const pages = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
    if (event.key in pages && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      event.stopPropagation();
      this.step(pages[event.key]);
    }
  }

  /** Go on by some events of those that are shown. */
  step(by) {
    if (this.size === 0) return;
    let place = this.placeOf(this.version);
    const is_here = place >= 0 && this.versionAt(place) === this.version;
    if (by < 0 && !is_here) place += 1;
    const next = Math.min(this.size - 1, Math.max(0, place + by));
    this.actions.go(this.versionAt(next));
  }
}
