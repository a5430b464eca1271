// The state at a version: a whole state and the changes after it. Nothing is folded here.

const GONE = -1;

/** Values and paths, each named by its place. */
export class Tables {
  constructor(values, paths) {
    this.values = values;
    this.paths = paths;
    this.keys = paths.map((path) => JSON.stringify(path));
    this.places = new Map(this.keys.map((key, place) => [key, place]));
  }
}

/** Some events in a row: a line about each, what each changed, and the whole state before them. */
export class Window {
  constructor(document, tables) {
    this.tables = tables;
    this.after = document.after;
    this.columns = document;
    this.changes = document.changes;
    this.whole = document.whole;
    this.count = document.type.length;
    let time = 0;
    this.times = document.time.map((since) => (time += since));
  }

  holds(version) {
    return version > this.after && version <= this.after + this.count;
  }

  /** Return what is to be said of an event in a list. */
  line(version) {
    const place = version - this.after - 1;
    const { values } = this.tables;
    return {
      version,
      time: this.times[place],
      type: values[this.columns.type[place]],
      actor: values[this.columns.actor[place]],
      text: this.columns.line[place],
      isInside: this.columns.inside[place] === 1,
      tokens: this.columns.tokens[place],
      data: values[this.columns.data[place]],
      about: values[this.columns.about[place]],
    };
  }

  /** Return the state after a version, by the text of each path: its path and its value. */
  state(version) {
    return this.look(version).state;
  }

  /** Return what an event changed, with what was there before. */
  changed(version) {
    return this.look(version).changed;
  }

  /** Apply the changes up to a version to the whole state; the last one is kept. */
  look(version) {
    if (this.looked?.version === version) return this.looked;
    const { paths, values, keys } = this.tables;
    const state = new Map();
    const take = (pairs) => {
      for (let at = 0; at < pairs.length; at += 2) {
        const key = keys[pairs[at]];
        if (pairs[at + 1] === GONE) state.delete(key);
        else state.set(key, [paths[pairs[at]], values[pairs[at + 1]]]);
      }
    };
    take(this.whole);
    const last = version - this.after - 1;
    for (let place = 0; place < last; place += 1) take(this.changes[place]);
    const changed = [];
    if (last >= 0) {
      const pairs = this.changes[last];
      for (let at = 0; at < pairs.length; at += 2)
        changed.push({
          path: paths[pairs[at]],
          before: state.get(keys[pairs[at]])?.[1],
          after: pairs[at + 1] === GONE ? undefined : values[pairs[at + 1]],
        });
      take(pairs);
    }
    this.looked = { version, state, changed };
    return this.looked;
  }

  /** Return the last version up to one at which a path changed, with its value; null if none. */
  lastChange(place, version) {
    for (let at = Math.min(version - this.after, this.count) - 1; at >= 0; at -= 1) {
      const pairs = this.changes[at];
      for (let pair = 0; pair < pairs.length; pair += 2) {
        if (pairs[pair] === place) {
          const value = pairs[pair + 1];
          return {
            version: this.after + at + 1,
            value: value === GONE ? undefined : this.tables.values[value],
          };
        }
      }
    }
    return null;
  }
}

/** Return what is at each root of a state: a value, or the entries of the root in order. */
export function roots(state) {
  const found = new Map();
  for (const [path, value] of state.values()) {
    if (path.length === 1) {
      found.set(path[0], value);
      continue;
    }
    let entries = found.get(path[0]);
    if (entries === undefined) found.set(path[0], (entries = new Map()));
    if (path.length === 2) {
      entries.set(path[1], value);
      continue;
    }
    let fields = entries.get(path[1]);
    if (fields === undefined) entries.set(path[1], (fields = new Map()));
    fields.set(path[2], value);
  }
  return found;
}

export function isEqual(one, other) {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}

/** Return the paths at which two states differ. */
export function differences(first, second) {
  const found = [];
  for (const [key, [path, value]] of second) {
    const old = first.get(key);
    if (old === undefined || !isEqual(old[1], value))
      found.push({ path, before: old?.[1], after: value });
  }
  for (const [key, [path, value]] of first)
    if (!second.has(key)) found.push({ path, before: value, after: undefined });
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
