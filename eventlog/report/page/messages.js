// Messages as a conversation.

import { button, element } from "./elements.js";
import { cutNote, json, longText } from "./values.js";
import { brief, counted, missing, timeText, withoutMark } from "./wording.js";

const IDS = ["id", "tool_id", "task_id", "archive_id", "turn_id", "type"];

/** Return a message; with a path, its texts lead to the events that set them. */
export function messageView(message, path, actions) {
  const role = String(message.role ?? "message");
  return element(
    "article",
    { class: `message ${["user", "assistant", "tool", "system"].includes(role) ? role : "other"}` },
    element(
      "header",
      null,
      element("span", { class: "role" }, role),
      element("span", { class: "when" }, when(message.created_at)),
      path === null
        ? element("span", { class: "id" }, brief(message.id ?? "", 40))
        : button(brief(message.id ?? "", 40), () => actions.blame(path, []), {
            class: "value id",
            title: "Which event changed this message last?",
          }),
    ),
    ...(Array.isArray(message.parts) ? message.parts : []).map((part, place) =>
      partView(part, path, ["parts", String(place)], actions),
    ),
  );
}

function when(text) {
  return typeof text === "string" ? timeText(Date.parse(text) * 1000) : "";
}

function partView(part, path, names, actions) {
  if (part === null || typeof part !== "object") return json(part);
  const textOf = (name) => textView(part[name], path, [...names, name], actions);
  if (part.type === "text" && typeof part.text === "string" && only(part, ["type", "text"]))
    return textOf("text");
  if (typeof part.tool_id === "string" || typeof part.tool_name === "string")
    return toolView(part, path, names, actions);
  if (part.type === "context")
    return element(
      "div",
      { class: "part" },
      element("p", { class: "note" }, `context ${part.uri ?? ""}`),
      textOf("abstract"),
    );
  return element("div", { class: "part" }, element("p", { class: "note" }, partName(part)), json(part));
}

function only(part, names) {
  return Object.keys(part).every((name) => names.includes(name));
}

function partName(part) {
  const name = IDS.map((id) => part[id]).find((value) => typeof value === "string");
  return name ?? "part";
}

function textView(value, path, names, actions) {
  if (value === undefined || value === null || value === "") return element("span", null);
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  if (path !== null) return longText(text, path, names, actions);
  const more = missing(text);
  return element("div", null, element("div", { class: "text", dir: "auto" }, withoutMark(text)), more && cutNote(more, actions));
}

const SHOWN_OF_A_TOOL = new Set([
  ...["type", "tool_id", "tool_name", "tool_status", "tool_input", "tool_output", "duration_ms"],
]);

function toolView(part, path, names, actions) {
  const status = String(part.tool_status ?? "");
  const given = part.tool_input;
  const rest = Object.entries(part).filter(
    ([name, value]) => !SHOWN_OF_A_TOOL.has(name) && value !== null && value !== "",
  );
  return element(
    "div",
    { class: "part tool" },
    element(
      "p",
      { class: "call" },
      element("strong", null, part.tool_name ?? part.tool_id ?? "tool"),
      " ",
      given === undefined || given === null ? null : element("span", { dir: "auto" }, brief(given, 160)),
      status === ""
        ? null
        : element("span", { class: status === "error" ? "state wrong" : "state" }, status),
    ),
    textView(part.tool_output, path, [...names, "tool_output"], actions),
    rest.length === 0
      ? null
      : element("details", null, element("summary", null, counted(rest.length, "more field")), json(Object.fromEntries(rest))),
  );
}
