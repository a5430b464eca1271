// Values of any shape, each of which leads to the event that set it.

import { button, element } from "./elements.js";
import { grouped, missing, timeText, titled, visible, withoutMark } from "./wording.js";

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)$/;

/** Return a value as people read it. */
export function valueText(value) {
  if (value === undefined || value === null) return "none";
  if (value === "") return "empty";
  if (typeof value === "number") return grouped(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "string") return JSON.stringify(value);
  return ISO.test(value) ? timeText(Date.parse(value) * 1000) : value;
}

/** Return a value that can be clicked for the event that set it. */
export function blamed(value, path, names, actions) {
  const text = valueText(value);
  const is_quiet = value === undefined || value === null || value === "";
  return button(text.length > 400 ? `${text.slice(0, 400)}…` : text, () => actions.blame(path, names), {
    class: is_quiet ? "value quiet" : "value",
    title: "Which event set this?",
    dir: "auto",
  });
}

/** Return the fields of an entry as a table of names and values. */
export function fieldTable(label, fields, pathOf, actions, names = []) {
  return element(
    "table",
    { class: "fields", "aria-label": label },
    element(
      "tbody",
      null,
      ...[...fields].map(([name, value]) =>
        element(
          "tr",
          null,
          element("th", { scope: "row" }, titled(name)),
          element("td", null, fieldValue(name, value, pathOf(name), names, actions)),
        ),
      ),
    ),
  );
}

function fieldValue(name, value, path, names, actions) {
  if (typeof value === "string" && (value.length > 120 || value.includes("\n")))
    return longText(value, path, names, actions);
  if (value !== null && typeof value === "object") return nested(value, path, names, actions);
  return blamed(value, path, names, actions);
}

function nested(value, path, names, actions) {
  const entries = Object.entries(value);
  if (entries.length === 0) return blamed(Array.isArray(value) ? [] : null, path, names, actions);
  if (entries.every(([, entry]) => entry === null || typeof entry !== "object") && Array.isArray(value))
    return blamed(value.map(valueText).join(", "), path, names, actions);
  const inner = element("dl", { class: "nested" });
  for (const [name, entry] of entries) {
    inner.append(
      element("dt", null, Array.isArray(value) ? `${Number(name) + 1}` : titled(name)),
      element("dd", null, fieldValue(name, entry, path, [...names, name], actions)),
    );
  }
  return inner;
}

/** Return a long text; a click on it, not a selection, leads to its event. */
export function longText(text, path, names, actions) {
  const onclick = () => {
    if (window.getSelection()?.isCollapsed ?? true) actions.blame(path, names);
  };
  const shown = element("div", { class: "text", dir: "auto", onclick }, withoutMark(text));
  const more = missing(text);
  return more === null ? shown : element("div", null, shown, cutNote(more, actions));
}

/** Return what is missing of a text, and the command that shows it. */
export function cutNote(more, actions) {
  return element(
    "p",
    { class: "note" },
    `${more} more characters: `,
    element("code", { class: "command" }, actions.command()),
  );
}

/** Return JSON, indented, as text. */
export function json(value) {
  return element("pre", { class: "json", tabindex: "0", "aria-label": "JSON" }, visible(JSON.stringify(value, null, 2) ?? "none"));
}

