// The state at a version: a whole state and the changes after it. Nothing is folded here.

const GONE = -1;

/** Return whether a place is that of the path of a live message. */
export function isOfTail(place) {
  return place < 0;
}

/** Return the place in the table of paths. */
export function placeOf(place) {
  return place < 0 ? ~place : place;
}

/** Values and paths, each named by its place. */
export class Tables {
  constructor(values, paths) {
    this.values = values;
    this.paths = paths;
  }

  value(place) {
    return this.values[place];
  }

  path(place) {
    return this.paths[placeOf(place)];
  }

  /** Get some paths and values, all of which are here. */
  async reach() {}
}

/** What a list shows of some events in a row. `nameOf` returns the type or actor at a place. */
export class Lines {
  constructor(document, nameOf) {
    this.after = document.after;
    this.columns = document;
    this.nameOf = nameOf;
    this.count = document.type.length;
    let time = 0;
    this.times = document.time.map((since) => (time += since));
  }

  holds(version) {
    return version > this.after && version <= this.after + this.count;
  }

  line(version) {
    const place = version - this.after - 1;
    return {
      version,
      time: this.times[place],
      type: this.nameOf(this.columns.type[place]),
      actor: this.nameOf(this.columns.actor[place]),
      text: this.columns.line[place],
      isInside: this.columns.inside[place] === 1,
      tokens: this.columns.tokens[place],
    };
  }
}

/** Some events in a row: what each is and changed, and the whole state before them. */
export class Window {
  constructor(document, tables, after) {
    this.tables = tables;
    this.after = after;
    this.document = document;
    this.changes = document.changes;
    this.count = document.changes.length;
    this.looked = { version: after, entries: taken(new Map(), document.whole), changed: [] };
  }

  /** Return the data of an event as it is stored, and what is known about it. */
  stored(version) {
    const place = version - this.after - 1;
    const { data, about } = this.document;
    return { data: this.tables.value(data[place]), about: this.tables.value(about[place]) };
  }

  state(version) {
    return new State(this.look(version).entries, this.tables);
  }

  /** Return what an event changed, with what was there before. */
  changed(version) {
    return this.look(version).changed;
  }

  /** Apply the changes up to a version to the whole state; the last one is where the next begins. */
  look(version) {
    if (this.looked.version === version) return this.looked;
    const is_later = this.looked.version < version;
    const entries = is_later ? new Map(this.looked.entries) : taken(new Map(), this.document.whole);
    const last = version - this.after - 1;
    for (let at = (is_later ? this.looked.version : this.after) - this.after; at < last; at += 1)
      taken(entries, this.changes[at]);
    const changed = [];
    if (last >= 0) {
      const pairs = this.changes[last];
      for (let at = 0; at < pairs.length; at += 2)
        changed.push(new Change(this.tables, pairs[at], entries.get(pairs[at]) ?? GONE, pairs[at + 1]));
      taken(entries, pairs);
    }
    this.looked = { version, entries, changed };
    return this.looked;
  }

  /** Return the last version up to one at which a path changed, with its value; null if none. */
  lastChange(place, version) {
    for (let at = Math.min(version - this.after, this.count) - 1; at >= 0; at -= 1) {
      const pairs = this.changes[at];
      for (let pair = 0; pair < pairs.length; pair += 2)
        if (pairs[pair] === place) return { version: this.after + at + 1, place: pairs[pair + 1] };
    }
    return null;
  }
}

function taken(entries, pairs) {
  for (let at = 0; at < pairs.length; at += 2) {
    if (pairs[at + 1] === GONE) entries.delete(pairs[at]);
    else entries.set(pairs[at], pairs[at + 1]);
  }
  return entries;
}

/** Get the paths and values of changes. */
export async function reached(tables, changes) {
  const places = changes.filter((change) => change instanceof Change).map((change) => change.places);
  const values = places.flatMap(({ before, after }) => [before, after]).filter((place) => place !== GONE);
  await tables.reach(places.map(({ path }) => path), values);
}

function valueOf(tables, place) {
  return place === GONE ? undefined : tables.value(place);
}

/** What happened at a path: the value before, and after. */
class Change {
  constructor(tables, path, before, after) {
    this.tables = tables;
    this.places = { path, before, after };
    this.isNew = before === GONE;
    this.isGone = after === GONE;
  }

  get isOfTail() {
    return isOfTail(this.places.path);
  }

  get path() {
    return this.tables.path(this.places.path);
  }

  get before() {
    return valueOf(this.tables, this.places.before);
  }

  get after() {
    return valueOf(this.tables, this.places.after);
  }
}

/** A state: the places of values by the places of paths, in the order of the page. */
export class State {
  constructor(entries, tables) {
    this.entries = entries;
    this.tables = tables;
    this.leftOut = {};
  }

  /** Return the places of all values by the texts of their paths. */
  byText() {
    const { entries, tables } = this;
    return new Map([...entries].map(([path, value]) => [JSON.stringify(tables.path(path)), [path, value]]));
  }
}

/** Entries by key. A value is looked up when it is needed: a long tail has thousands. */
export class Entries {
  constructor(tables) {
    this.tables = tables;
    this.places = new Map();
  }

  get size() {
    return this.places.size;
  }

  get(key) {
    return this.found(this.places.get(key));
  }

  found(place) {
    return typeof place === "number" ? this.tables.value(place) : place;
  }

  /** Return the entries between two of them, in order, as pairs of key and value. */
  slice(first, last) {
    return [...this.places].slice(first, last).map(([key, place]) => [key, this.found(place)]);
  }

  [Symbol.iterator]() {
    return this.slice(0)[Symbol.iterator]();
  }
}

/** The live messages: thousands, perhaps, of which those that are shown are looked up. */
export class Tail {
  constructor(tables) {
    this.tables = tables;
    this.places = [];
  }

  get size() {
    return this.places.length;
  }

  /** Return the messages between two of them, in order, as pairs of id and message. */
  async slice(first, last) {
    const wanted = this.places.slice(first, last);
    await this.tables.reach(wanted.map(([path]) => path), wanted.map(([, value]) => value));
    return wanted.map(([path, value]) => [this.tables.path(path)[1], this.tables.value(value)]);
  }
}

/** Return what is at each root of a state: a value, or the entries of the root in order. */
export function roots(state) {
  const { tables } = state;
  const found = new Map();
  const tail = new Tail(tables);
  for (const entry of state.entries) {
    const [place, value] = entry;
    if (isOfTail(place)) {
      tail.places.push(entry);
      continue;
    }
    const path = tables.path(place);
    if (path.length === 1) {
      found.set(path[0], tables.value(value));
      continue;
    }
    let entries = found.get(path[0]);
    if (entries === undefined) found.set(path[0], (entries = new Entries(tables)));
    if (path.length === 2) {
      entries.places.set(path[1], value);
      continue;
    }
    let fields = entries.places.get(path[1]);
    if (fields === undefined) entries.places.set(path[1], (fields = new Entries(tables)));
    fields.places.set(path[2], value);
  }
  if (tail.size > 0) found.set("tail", tail);
  return found;
}

export function isEqual(one, other) {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}

/** Return the paths at which two states differ. */
export function differences(first, second) {
  return first.tables === second.tables ? ofOneTable(first, second) : ofTwoTables(first, second);
}

/** Equal values have the same place. */
function ofOneTable(first, second) {
  const { tables } = first;
  const found = [];
  for (const [path, value] of second.entries) {
    const old = first.entries.get(path) ?? GONE;
    if (old !== value) found.push(new Change(tables, path, old, value));
  }
  for (const [path, value] of first.entries)
    if (!second.entries.has(path)) found.push(new Change(tables, path, value, GONE));
  return found;
}

function ofTwoTables(first, second) {
  const found = [];
  const [old, later] = [first.byText(), second.byText()];
  for (const [text, [path, place]] of later) {
    const value = second.tables.value(place);
    const before = old.has(text) ? first.tables.value(old.get(text)[1]) : undefined;
    if (!isEqual(before, value)) found.push({ path: second.tables.path(path), before, after: value });
  }
  for (const [text, [path, place]] of old)
    if (!later.has(text)) found.push({ path: first.tables.path(path), before: first.tables.value(place), after: undefined });
  return found;
}

/** Return the value at some names inside a value. */
export function inside(value, names) {
  let found = value;
  for (const name of names) {
    if (found === null || typeof found !== "object") return undefined;
    found = Object.hasOwn(found, name) ? found[name] : undefined;
  }
  return found;
}
