// Where the data of a session comes from: this file.

import { inside, isEqual, Tables, Window } from "./states.js";

/** Causes that are shown of an event. */
const CAUSES = 12;

/** A session whose data is in the page. */
export class FileSource {
  constructor(document) {
    const tables = new Tables(document.values, document.paths);
    this.tables = tables;
    this.session = document.session;
    this.first = document.after;
    this.head = document.head;
    this.redaction = document.redaction;
    this.findings = document.findings;
    this.contexts = document.contexts;
    this.machines = document.machines;
    this.causes = document.causes;
    this.windows = document.windows.map((window) => new Window(window, tables));
  }

  /** Return the window that has an event; of the version before the first one, the first. */
  windowOf(version) {
    const size = this.windows[0]?.count ?? 1;
    return this.windows[Math.max(0, Math.floor((version - this.first - 1) / size))];
  }

  lineNow(version) {
    return this.windowOf(version)?.line(version) ?? null;
  }

  async line(version) {
    return this.lineNow(version);
  }

  async state(version) {
    return this.windowOf(version)?.state(version) ?? new Map();
  }

  async changed(version) {
    return version > this.first ? this.windowOf(version).changed(version) : [];
  }

  async context(document) {
    const { values } = this.tables;
    return {
      overview: values[document.overview],
      messages: document.messages.map((place) => values[place]),
    };
  }

  /** Yield the changes of a path up to a version, the newest first. */
  *changesOf(path, version) {
    const place = this.tables.places.get(JSON.stringify(path));
    if (place === undefined) return;
    let until = version;
    while (until > this.first) {
      const window = this.windowOf(until);
      const found = window.lastChange(place, until);
      if (found !== null) yield found;
      until = found === null ? window.after : found.version - 1;
    }
  }

  /** Return the last event up to a version that changed a value, or what is in it by some names. */
  async blame(path, names, version) {
    let last = null;
    for (const change of this.changesOf(path, version)) {
      const value = inside(change.value, names);
      if (last !== null && !isEqual(value, last.after)) return { ...last, before: value };
      last = { version: change.version, before: undefined, after: value };
    }
    return last;
  }

  /** Return what led to an event, the nearest cause first; a cause of version 0 is not here. */
  async why(version) {
    const chain = [];
    let at = version;
    while (chain.length < CAUSES && at > this.first) {
      const place = 2 * (at - this.first - 1);
      at = this.causes[place];
      const reason = this.tables.values[this.causes[place + 1]];
      if (reason === "") break;
      const type = at > this.first ? this.lineNow(at).type : "";
      chain.push({ version: at, type, reason });
    }
    return chain;
  }

  /** Return the versions of the events that a filter admits; null where it admits all. */
  async filtered({ text, type, actor }) {
    if (text === "" && type === "" && actor === "") return null;
    const { values, paths } = this.tables;
    const typed = type === "" ? null : values.indexOf(type);
    const acted = actor === "" ? null : values.indexOf(actor);
    const says = text === "" ? null : new Saying(values, text);
    const found = [];
    for (const window of this.windows) {
      const { type: types, actor: actors, line, data } = window.columns;
      for (let place = 0; place < window.count; place += 1) {
        if (typed !== null && types[place] !== typed) continue;
        if (acted !== null && actors[place] !== acted) continue;
        if (
          says !== null &&
          !says.text(line[place]) &&
          !says.at(types[place]) &&
          !says.at(data[place]) &&
          !says.changed(window.changes[place], paths)
        )
          continue;
        found.push(window.after + place + 1);
      }
    }
    return found;
  }

  /** Return the types of events and the actors that occur, by how often. */
  names() {
    const types = new Map();
    const actors = new Map();
    const { values } = this.tables;
    const count = (counts, places) => {
      for (const place of places) counts.set(place, (counts.get(place) ?? 0) + 1);
    };
    for (const window of this.windows) {
      count(types, window.columns.type);
      count(actors, window.columns.actor);
    }
    const sorted = (counts) =>
      [...counts].map(([place, number]) => [values[place], number]).sort((a, b) => b[1] - a[1]);
    return { types: sorted(types), actors: sorted(actors).filter(([name]) => name !== "") };
  }

  /** Return the tokens that are live after each event, and the time of each. */
  series() {
    return {
      tokens: this.windows.flatMap((window) => window.columns.tokens),
      times: this.windows.flatMap((window) => window.times),
    };
  }

  /** Return the steps of a state machine up to a version: the states of an entry, one after another. */
  async steps(path, version) {
    const found = [...this.changesOf(path, version)].reverse();
    return found.map((change) => ({ version: change.version, state: change.value }));
  }
}

/** Whether values say a text, in any case; each value is looked at once. */
class Saying {
  constructor(values, text) {
    this.values = values;
    this.wanted = text.toLowerCase();
    this.known = new Int8Array(values.length);
  }

  text(text) {
    return text.toLowerCase().includes(this.wanted);
  }

  at(place) {
    if (this.known[place] === 0) this.known[place] = this.within(this.values[place]) ? 1 : -1;
    return this.known[place] === 1;
  }

  within(value) {
    if (typeof value === "string") return this.text(value);
    if (value === null || typeof value !== "object") return false;
    return Object.values(value).some((entry) => this.within(entry));
  }

  changed(pairs, paths) {
    for (let at = 0; at < pairs.length; at += 2)
      if (paths[pairs[at]][0] === "tail" && pairs[at + 1] >= 0 && this.at(pairs[at + 1]))
        return true;
    return false;
  }
}
