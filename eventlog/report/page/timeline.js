// The list of events: only the rows that can be seen are there.

import { element, fill } from "./elements.js";
import { counted, grouped, timeText } from "./wording.js";

const ROW = 48;
const BEYOND = 8;
const PRINTED = 500;

/** Events in order, filtered; a filter chooses what is shown and changes no state. */
export class Timeline {
  constructor(source, actions) {
    this.source = source;
    this.actions = actions;
    this.versions = null;
    this.version = source.head;
    this.blamed = 0;
    this.space = element("div", { class: "space" });
    this.list = element(
      "div",
      {
        class: "rows",
        role: "listbox",
        tabindex: "0",
        "aria-label": "Events",
        onscroll: () => this.draw(false, false),
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
    new ResizeObserver(() => this.draw()).observe(this.list);
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
    const top = Math.max(0, this.placeOf(version)) * ROW;
    const { scrollTop, clientHeight } = this.list;
    this.space.style.height = `${this.size * ROW}px`;
    if (top < scrollTop || top + ROW > scrollTop + clientHeight)
      this.list.scrollTop = Math.max(0, top - clientHeight / 3);
  }

  draw(all = false, again = true) {
    this.space.style.height = `${this.size * ROW}px`;
    const seen = this.list.clientHeight || 600;
    let first = Math.max(0, Math.floor(this.list.scrollTop / ROW) - BEYOND);
    let last = Math.min(this.size, Math.ceil((this.list.scrollTop + seen) / ROW) + BEYOND);
    if (all) {
      const middle = Math.max(0, this.placeOf(this.version));
      first = Math.max(0, Math.min(middle - PRINTED / 2, this.size - PRINTED));
      last = Math.min(this.size, first + PRINTED);
    }
    // Going to a version scrolls as well: the rows that are there already stay.
    if (!again && this.first === first && this.last === last) return;
    this.first = first;
    this.last = last;
    const rows = [];
    for (let place = first; place < last; place += 1) rows.push(this.row(place));
    this.space.replaceChildren(...rows);
    const chosen = this.space.querySelector("[aria-selected=true]");
    if (chosen === null) this.list.removeAttribute("aria-activedescendant");
    else this.list.setAttribute("aria-activedescendant", chosen.id);
  }

  row(place) {
    const version = this.versionAt(place);
    const line = this.source.lineNow(version);
    const is_chosen = version === this.version;
    const row = element(
      "div",
      {
        class: `row${version === this.blamed ? " blamed" : ""}${version > this.version ? " later" : ""}`,
        id: `event-${version}`,
        role: "option",
        "aria-selected": String(is_chosen),
        "aria-posinset": place + 1,
        "aria-setsize": this.size,
        onclick: () => this.actions.go(version),
      },
      element("span", { class: "version" }, version),
      element("span", { class: /fail|expired|interrupt|abandon/.test(line?.type) ? "type wrong" : "type" }, line === null ? "…" : line.type.replaceAll("_", " ")),
      element("span", { class: "time" }, line === null ? "" : timeText(line.time).slice(11, 19)),
      element("span", { class: "line", dir: "auto" }, line === null ? "" : line.text || line.actor),
    );
    row.style.top = `${place * ROW}px`;
    return row;
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
