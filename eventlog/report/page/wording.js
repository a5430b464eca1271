// Numbers, times and texts as people read them.

// Control, format and direction characters, but those within words and emoji, tabs and line ends.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const KEPT = new Set(["\n", "\t", "\u200c", "\u200d"]);

/** Return a text with each character that would change how others are shown as its escape. */
export function visible(text) {
  return text.replace(HIDDEN, (character) => {
    if (KEPT.has(character)) return character;
    const code = character.codePointAt(0);
    if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
    return code < 0x10000
      ? `\\u${code.toString(16).padStart(4, "0")}`
      : `\\U${code.toString(16).padStart(8, "0")}`;
  });
}

export function grouped(number) {
  return String(number).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

export function counted(number, noun) {
  return `${grouped(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** Return a time in microseconds since 1970 as UTC, in milliseconds. */
export function timeText(microseconds) {
  const date = new Date(microseconds / 1000);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString().slice(0, 23).replace("T", " ");
}

/** Return how long something took, in its two largest units. */
export function lengthText(microseconds) {
  const seconds = microseconds / 1e6;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} days`;
}

const CUT = /…⟨([\d,]+) more characters⟩$/;

/** Return how many characters of a text are missing, as text; null if none are. */
export function missing(text) {
  const found = CUT.exec(text);
  return found === null ? null : found[1];
}

/** Return a text that was cut without how much is missing, which is said beside it. */
export function withoutMark(text) {
  return text.replace(CUT, "…");
}

/** Return a value in one line. */
export function brief(value, length = 80) {
  if (value === undefined) return "nothing";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const line = text.slice(0, 4 * length).split(/\s+/).join(" ");
  return line.length <= length ? line : `${line.slice(0, length - 1)}…`;
}

const NAME = /^[A-Za-z_]\w*$/;
const BY_KEY = new Set(["tail", "archives", "tasks", "turns", "runs", "parts"]);

/** Return a path as blame, diff and bisect take it. */
export function pathText(path) {
  let text = path[0];
  for (let place = 1; place < path.length; place += 1) {
    const name = path[place];
    if (!BY_KEY.has(path[place - 1]) && NAME.test(name)) text += `.${name}`;
    else if (name !== "" && !/[[\]"']/.test(name)) text += `[${name}]`;
    else text += `[${JSON.stringify(name)}]`;
  }
  return text;
}

/** Return a path in pieces between which a line may break. */
export function pieces(path) {
  return pathText(path).split(/(?<=[._\]])(?=.)/);
}

/** Return a word of a POSIX shell. */
export function shellWord(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

export function titled(name) {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
