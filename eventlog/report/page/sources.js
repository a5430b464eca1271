// Where the data of a session comes from: this file.

import { inside, isEqual, isOfTail, Lines, placeOf, reached, State, Window } from "./states.js";

/** The parts of a session's data: each is unpacked once, when it is needed. */
class Parts {
  constructor(lines) {
    this.lines = lines;
    this.texts = new Map();
  }

  text(place) {
    let text = this.texts.get(place);
    if (text === undefined) this.texts.set(place, (text = unpacked(this.lines[place])));
    return text;
  }
}

async function unpacked(text) {
  const bytes = Uint8Array.fromBase64?.(text) ?? Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  const stream = new DecompressionStream("deflate");
  const writer = stream.writable.getWriter();
  const ends = Promise.all([writer.write(bytes), writer.close()]);
  const [found] = await Promise.all([new Response(stream.readable).text(), ends]);
  return found;
}

/** Values and paths; those that a window is the first to name come with it. */
class PackedTables {
  constructor(parts, starts) {
    this.parts = parts;
    this.starts = [0, 1].map((which) => starts.map((start) => start[which]));
    this.values = [];
    this.paths = [];
    this.texts = [];
    this.changes = [];
  }

  get count() {
    return this.starts[0].length;
  }

  /** Return the changes of a window, whose paths are known from now on. */
  changesOf(place) {
    this.changes[place] ??= this.parts.text(2 * place + 1).then((text) => {
      const document = JSON.parse(text);
      document.paths.forEach((path, at) => (this.paths[this.starts[1][place] + at] = path));
      return document;
    });
    return this.changes[place];
  }

  async textOf(place) {
    return (this.texts[place] = await this.parts.text(2 * place + 2));
  }

  /** Unpack what holds some paths and values. */
  async reach(paths, values) {
    const wanted = (starts, places) => new Set(places.map((place) => partOf(starts, place)));
    await Promise.all([
      ...[...wanted(this.starts[1], paths.map(placeOf))].map((part) => this.changesOf(part)),
      ...[...wanted(this.starts[0], values)].map((part) => this.texts[part] ?? this.textOf(part)),
    ]);
  }

  /** Return a value that was reached. */
  value(place) {
    if (this.values[place] === undefined) {
      const part = partOf(this.starts[0], place);
      JSON.parse(this.texts[part]).forEach((value, at) => (this.values[this.starts[0][part] + at] = value));
    }
    return this.values[place];
  }

  path(place) {
    return this.paths[placeOf(place)];
  }

  /** Return the place of each path by its text. */
  async places() {
    if (this.byText === undefined) {
      await Promise.all(this.starts[0].map((_, part) => this.changesOf(part)));
      this.byText = new Map(this.paths.map((path, place) => [JSON.stringify(path), path[0] === "tail" ? ~place : place]));
    }
    return this.byText;
  }
}

function partOf(starts, place) {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= place) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Causes that are shown of an event. */
const CAUSES = 12;

/** A session whose data is in the page. */
export class FileSource {
  /** Open a session's data: a head, and what is packed, line by line. */
  static async open(text) {
    const [head, ...lines] = text.split("\n");
    const parts = new Parts(lines);
    // The list is wanted at once, and so is the state at the end, which the last window has.
    const document = JSON.parse(head);
    const tables = new PackedTables(parts, document.starts);
    if (tables.count > 1) {
      tables.changesOf(tables.count - 2);
      for (const part of new Set([0, tables.count - 2])) tables.textOf(part);
    }
    return new FileSource(document, JSON.parse(await parts.text(0)), tables);
  }

  constructor(document, list, tables) {
    this.tables = tables;
    this.session = document.session;
    this.first = document.after;
    this.head = document.head;
    this.redaction = document.redaction;
    this.findings = document.findings;
    this.contexts = document.contexts;
    this.machines = document.machines;
    this.causes = list.causes;
    this.named = list.names;
    this.lines = list.windows.map((window) => new Lines(window, (place) => this.named[place]));
    this.windows = [];
  }

  /** Return the number of the window that has an event; of the version before the first one, the first. */
  placeOf(version) {
    const size = this.lines[0]?.count ?? 1;
    return Math.max(0, Math.floor((version - this.first - 1) / size));
  }

  async window(place) {
    this.windows[place] ??= this.tables
      .changesOf(place)
      .then((document) => new Window(document, this.tables, this.lines[place].after));
    return this.windows[place];
  }

  lineNow(version) {
    return this.lines[this.placeOf(version)]?.line(version) ?? null;
  }

  async line(version) {
    return this.lineNow(version);
  }

  async stored(version) {
    const window = await this.window(this.placeOf(version));
    const { data, about } = window.document;
    const place = version - window.after - 1;
    await this.tables.reach([], [data[place], about[place]]);
    return window.stored(version);
  }

  async state(version) {
    const place = this.placeOf(version);
    if (this.lines[place] === undefined) return new State(new Map(), this.tables);
    const state = (await this.window(place)).state(version);
    const entries = [...state.entries].filter(([path]) => !isOfTail(path));
    await this.tables.reach(entries.map(([path]) => path), entries.map(([, value]) => value));
    return state;
  }

  async changed(version) {
    if (version <= this.first) return [];
    const changes = (await this.window(this.placeOf(version))).changed(version);
    await reached(this.tables, changes.filter((change) => !change.isOfTail));
    return changes;
  }

  async context(document) {
    await this.tables.reach([], [document.overview, ...document.messages]);
    return {
      overview: this.tables.value(document.overview),
      messages: document.messages.map((place) => this.tables.value(place)),
    };
  }

  /** Yield the changes of a path up to a version, the newest first. */
  async *changesOf(path, version) {
    const place = (await this.tables.places()).get(JSON.stringify(path));
    if (place === undefined) return;
    let until = version;
    while (until > this.first) {
      const window = await this.window(this.placeOf(until));
      const found = window.lastChange(place, until);
      if (found !== null) {
        if (found.place >= 0) await this.tables.reach([], [found.place]);
        yield { version: found.version, value: found.place < 0 ? undefined : this.tables.value(found.place) };
      }
      until = found === null ? window.after : found.version - 1;
    }
  }

  /** Return the last event up to a version that changed a value, or what is in it by some names. */
  async blame(path, names, version) {
    let last = null;
    for await (const change of this.changesOf(path, version)) {
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
      await this.tables.reach([], [this.causes[place + 1]]);
      const reason = this.tables.value(this.causes[place + 1]);
      if (reason === "") break;
      const type = at > this.first ? this.lineNow(at).type : "";
      chain.push({ version: at, type, reason });
    }
    return chain;
  }

  /** Return the versions of the events that a filter admits; null where it admits all. */
  async filtered({ text, type, actor }) {
    if (text === "" && type === "" && actor === "") return null;
    const placeOfName = (name) => Number(Object.keys(this.named).find((place) => this.named[place] === name) ?? -1);
    const typed = type === "" ? null : placeOfName(type);
    const acted = actor === "" ? null : placeOfName(actor);
    const says = text === "" ? null : await Saying.of(this, text);
    const found = [];
    for (const [at, lines] of this.lines.entries()) {
      const { type: types, actor: actors, line } = lines.columns;
      for (let place = 0; place < lines.count; place += 1) {
        if (typed !== null && types[place] !== typed) continue;
        if (acted !== null && actors[place] !== acted) continue;
        if (says !== null && !says.text(line[place]) && !says.event(at, place, types[place])) continue;
        found.push(lines.after + place + 1);
      }
    }
    return found;
  }

  /** Return the types of events and the actors that occur, by how often. */
  names() {
    const counted = (name) => {
      const counts = new Map();
      for (const { columns } of this.lines)
        for (const place of columns[name]) counts.set(place, (counts.get(place) ?? 0) + 1);
      const found = [...counts].map(([place, number]) => [this.named[place], number]);
      return found.sort((a, b) => b[1] - a[1]);
    };
    return { types: counted("type"), actors: counted("actor").filter(([name]) => name !== "") };
  }

  /** Return the tokens that are live after each event, and the time of each. */
  series() {
    return {
      tokens: this.lines.flatMap((lines) => lines.columns.tokens),
      times: this.lines.flatMap((lines) => lines.times),
    };
  }

  /** Return the steps of a state machine up to a version: the states of an entry, one after another. */
  async steps(path, version) {
    const steps = [];
    for await (const change of this.changesOf(path, version))
      steps.unshift({ version: change.version, state: change.value });
    return steps;
  }
}

/** Whether values say a text, in any case; each value is looked at once. */
class Saying {
  static async of(source, text) {
    const { tables } = source;
    const parts = [...tables.starts[0].keys()];
    await Promise.all(parts.map((part) => tables.texts[part] ?? tables.textOf(part)));
    const changes = await Promise.all(parts.map((part) => tables.changesOf(part)));
    return new Saying(tables, changes, source.named, text);
  }

  constructor(tables, changes, named, text) {
    this.tables = tables;
    this.changes = changes;
    this.named = named;
    this.wanted = text.toLowerCase();
    this.known = [];
    // What a part does not say as JSON, none of its values says: most need not be read.
    const written = JSON.stringify(this.wanted).slice(1, -1).replaceAll("<", "\\u003c");
    this.may = tables.texts.map((each) => each.toLowerCase().includes(written));
  }

  text(text) {
    return text.toLowerCase().includes(this.wanted);
  }

  event(part, place, type) {
    const { data, changes } = this.changes[part];
    return this.text(this.named[type]) || this.at(data[place]) || this.changed(changes[place]);
  }

  at(place) {
    this.known[place] ??= this.may[partOf(this.tables.starts[0], place)] && this.within(this.tables.value(place));
    return this.known[place];
  }

  within(value) {
    if (typeof value === "string") return this.text(value);
    if (value === null || typeof value !== "object") return false;
    return Object.values(value).some((entry) => this.within(entry));
  }

  changed(pairs) {
    for (let at = 0; at < pairs.length; at += 2)
      if (isOfTail(pairs[at]) && pairs[at + 1] >= 0 && this.at(pairs[at + 1])) return true;
    return false;
  }
}
