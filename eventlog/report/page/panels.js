// What is to be seen of a session at a version, panel by panel.

import { breakable, button, element } from "./elements.js";
import { machineView } from "./machines.js";
import { messageView } from "./messages.js";
import { differences, Entries, inside, reached, Tail } from "./states.js";
import { blamed, fieldTable, json, longText, valueText } from "./values.js";
import { brief, counted, grouped, pieces, shellWord, titled } from "./wording.js";

const MESSAGES = 30;
const ROWS = 300;
const ENTRIES = 100;

/** The panels by name: what each is called, and a function that draws it of a view. */
export const PANELS = new Map([
  ["changes", { label: "Changes", draw: changesPanel }],
  ["tail", { label: "Live tail", draw: tailPanel }],
  ["meta", { label: "Metadata", draw: metaPanel }],
  ["archives", { label: "Archives", draw: (view) => entriesPanel(view, "archives") }],
  ["tasks", { label: "Tasks", draw: (view) => entriesPanel(view, "tasks") }],
  ["turns", { label: "Turns", draw: (view) => entriesPanel(view, "turns") }],
  ["contexts", { label: "Contexts", draw: contextsPanel }],
  ["machines", { label: "Machines", draw: machinesPanel }],
  ["compare", { label: "Compare", draw: comparePanel }],
]);

const KNOWN = new Set(["status", "meta", "tail", "archives", "tasks", "turns", "overview", "findings"]);

/** Return the names of the panels that a session has: also of what this page knows nothing about. */
export function panelNames(roots) {
  const others = [...roots.keys()].filter((name) => !KNOWN.has(name));
  const names = [...PANELS.keys()];
  names.splice(names.indexOf("contexts"), 0, ...others);
  return names;
}

export function panelLabel(name) {
  return PANELS.get(name)?.label ?? titled(name);
}

/** Return how many entries a panel shows; null where that says nothing. */
export function panelCount(name, view) {
  if (name === "changes") return view.changed?.length ?? null;
  if (name === "contexts") return view.source.contexts.filter((each) => each.version <= view.version).length;
  const found = view.roots.get(name);
  const more = view.state.leftOut?.[name] ?? 0;
  if (name === "meta" || name === "machines" || name === "compare") return null;
  return (found instanceof Entries || found instanceof Tail ? found.size : 0) + more;
}

export function drawPanel(name, view) {
  const panel = PANELS.get(name);
  return panel === undefined ? entriesPanel(view, name) : panel.draw(view);
}

function empty(text) {
  return element("p", { class: "empty" }, text);
}

// ---- what just changed -------------------------------------------------------------------------

async function changesPanel(view) {
  if (view.line === null) return empty("Before the first event there is nothing.");
  if (view.changed === undefined) return empty("Looking for what it changed …");
  const changed = view.changed.filter((change) => !change.isOfTail);
  const tail = view.changed.filter((change) => change.isOfTail);
  const came = tail.filter((change) => change.isNew);
  const went = tail.filter((change) => change.isGone);
  const other = tail.filter((change) => !change.isNew && !change.isGone);
  await reached(view.state.tables, [came, went, other].flatMap((changes) => changes.slice(0, MESSAGES)));
  const given = view.source.contexts.filter((each) => each.version === view.version);
  const contexts = await Promise.all(given.map((document) => contextView(document, true, view)));
  return element(
    "div",
    null,
    contexts.length === 0 ? null : element("div", { class: "entries" }, ...contexts),
    ...came.slice(0, MESSAGES).map(({ path, after }) => messageView(after, path, view.actions)),
    ...other.slice(0, MESSAGES).map(({ path, after }) => messageView(after, path, view.actions)),
    went.length === 0
      ? null
      : element(
          "details",
          { class: "went" },
          element("summary", null, `${counted(went.length, "message")} left the live tail`),
          ...went.slice(0, MESSAGES).map(({ before }) => messageView(before, null, view.actions)),
          went.length > MESSAGES ? empty(`and ${grouped(went.length - MESSAGES)} more`) : null,
        ),
    changed.length === 0 && tail.length === 0 && given.length === 0 ? empty("This event changed nothing that is shown.") : null,
    changed.length === 0 ? null : changeTable(changed.slice(0, ROWS), view),
    causesView(view),
    eventDetails(view),
  );
}

function changeTable(changes, view) {
  return element(
    "table",
    { class: "changes", "aria-label": "Changed values" },
    element("thead", null, element("tr", null, ...["value", "before", "after"].map((name) => element("th", { scope: "col" }, name)))),
    element(
      "tbody",
      null,
      ...changes.map(({ path, before, after }) =>
        element(
          "tr",
          null,
          element("th", { scope: "row" }, ...breakable(pieces(path))),
          element("td", { class: "old", dir: "auto" }, brief(valueText(before), 120)),
          element("td", null, blamed(brief(valueText(after), 120), path, [], view.actions)),
        ),
      ),
    ),
  );
}

/** What led to the event, looked for when it is wanted: the nearest cause first. */
function causesView(view) {
  const summary = element("summary", null, "What led to it");
  const details = element("details", { class: "details" }, summary);
  const fill = async () => {
    const causes = await view.source.why(view.version);
    details.replaceChildren(summary, causesList(causes, view), whyCommand("From the command line: ", view, ""));
  };
  details.addEventListener("toggle", () => fill().catch((error) => details.append(empty(String(error.message)))), { once: true });
  return details;
}

function causesList(causes, view) {
  if (causes.length === 0) return empty("No event of this session is known to have led to it.");
  const entry = ({ version, type, reason }) => {
    const name = `event ${version}`;
    const isHere = version > view.source.first;
    const place = isHere ? button(name, () => view.actions.go(version), { class: "value" }) : version > 0 ? name : null;
    return element("li", null, place, type === "" ? " " : ` ${type}: `, element("span", { class: "quiet", dir: "auto" }, reason));
  };
  return element("ol", { class: "plain" }, ...causes.map(entry));
}

function whyCommand(said, view, options) {
  const place = `${view.source.session}@${view.version}`;
  return element("p", { class: "note" }, said, element("code", { class: "command" }, `eventlog why ${shellWord(place)}${options}`));
}

function eventDetails(view) {
  const { version } = view;
  const details = element("details", { class: "details" }, element("summary", null, "The event as it is stored"));
  details.addEventListener("toggle", async () => {
    if (!details.open || details.childElementCount > 1) return;
    const { data, about } = await view.source.stored(version);
    details.append(
      json(data),
      Object.keys(about ?? {}).length === 0 ? "" : json(about),
      whyCommand("What followed from it: ", view, " --tree"),
    );
  });
  return details;
}

// ---- the state ---------------------------------------------------------------------------------

async function tailPanel(view) {
  const tail = view.roots.get("tail");
  const more = view.state.leftOut?.tail ?? 0;
  if (tail === undefined) return empty("No message is live.");
  const shown = element("div", { class: "conversation" });
  let first = Math.max(0, tail.size - MESSAGES);
  const draw = (entries) => entries.map(([id, message]) => messageView(message, ["tail", id], view.actions));
  const earlier = button("", async () => {
    const before = Math.max(0, first - MESSAGES);
    const until = first;
    first = before;
    earlier.after(...draw(await tail.slice(before, until)));
    name();
  }, { class: "earlier" });
  const name = () => {
    earlier.hidden = first === 0;
    earlier.textContent = `Show ${Math.min(first, MESSAGES)} of ${grouped(first)} earlier`;
  };
  name();
  const overview = view.roots.get("overview");
  if (typeof overview === "string" && overview !== "")
    shown.append(
      element("details", { class: "overview" }, element("summary", null, "Overview of what is archived"), longText(overview, ["overview"], [], view.actions)),
    );
  if (more > 0) shown.append(empty(`${counted(more, "earlier message")}: \`${view.actions.command()}\``));
  shown.append(earlier, ...draw(await tail.slice(first)));
  return shown;
}

async function metaPanel(view) {
  const meta = view.roots.get("meta") ?? new Map();
  const status = view.roots.get("status");
  const findings = view.roots.get("findings") ?? new Map();
  return element(
    "div",
    null,
    element("p", { class: "lead" }, "Status ", blamed(status, ["status"], [], view.actions)),
    fieldTable("Metadata", meta, (name) => ["meta", name], view.actions),
    findings.size === 0
      ? null
      : element("ul", { class: "plain" }, ...[...findings].map(([version, why]) => element("li", null, button(`event ${version}`, () => view.actions.go(Number(version)), { class: "value" }), ` ${why}`))),
  );
}

async function entriesPanel(view, root) {
  const found = view.roots.get(root);
  if (found !== undefined && !(found instanceof Entries)) return json(found);
  if (found === undefined || found.size === 0) return empty(`No ${root} at this version.`);
  const open = found.slice(-ENTRIES).reverse();
  return element(
    "div",
    { class: "entries" },
    ...open.map(([key, fields], place) => entryView(root, key, fields, place < 3, view)),
    found.size > ENTRIES ? empty(`and ${counted(found.size - ENTRIES, "older one")}`) : null,
  );
}

function entryView(root, key, fields, is_open, view) {
  const known = fields instanceof Entries ? fields : new Map(Object.entries(fields ?? {}));
  const state = known.get("state");
  const details = element("details", { class: "entry", open: is_open });
  details.append(
    element(
      "summary",
      null,
      element("span", { class: "key" }, brief(known.get("kind") ?? key, 48)),
      " ",
      known.get("archive_id") && known.get("archive_id") !== key ? `${known.get("archive_id")} ` : "",
      state === undefined ? null : element("span", { class: isBad(state) ? "state wrong" : "state" }, String(state).replaceAll("_", " ")),
      " ",
      element("span", { class: "quiet" }, gistOf(known)),
    ),
  );
  const show = () => {
    if (details.open && details.childElementCount === 1)
      details.append(fieldTable(key, known, (name) => [root, key, name], view.actions));
  };
  details.addEventListener("toggle", show);
  show();
  return details;
}

function isBad(state) {
  return /fail|abandon|retry|crash|cancel/.test(String(state));
}

function gistOf(fields) {
  const attempts = fields.get("attempts") ?? fields.get("attempt");
  const parts = [];
  if (typeof attempts === "number" && attempts > 0) parts.push(counted(attempts, "attempt"));
  if (typeof fields.get("message_count") === "number") parts.push(counted(fields.get("message_count"), "message"));
  if (fields.get("error")) parts.push(brief(fields.get("error"), 80));
  return parts.join(" · ");
}

// ---- contexts ----------------------------------------------------------------------------------

async function contextsPanel(view) {
  const found = view.source.contexts.filter((each) => each.version <= view.version).reverse();
  if (found.length === 0)
    return empty("No context was recorded up to here. `session.context(record=True)` records what a model is given.");
  const views = found.slice(0, 20).map((document, place) => contextView(document, place === 0, view));
  return element("div", { class: "entries" }, ...(await Promise.all(views)));
}

async function contextView(document, is_open, view) {
  const go = button(`event ${document.version}`, () => view.actions.go(document.version), { class: "value" });
  if (document.problem !== undefined) return element("p", null, go, ` ${document.problem}`);
  const details = element("details", { class: "entry", open: is_open });
  const first = element("p", { class: "note" }, document.kind === "given" ? "recorded by " : "the turn began with ", go);
  const kind =
    document.kind === "given"
      ? document.is_exact
        ? "as it was given, to the letter"
        : "as it was given; its digest differs"
      : "where a turn began, as today's code builds it";
  details.append(
    element(
      "summary",
      null,
      element("span", { class: "key" }, kind),
      " ",
      element("span", { class: "quiet" }, `${counted(document.messages.length, "message")} · ${counted(document.estimated_tokens, "token")} of ${grouped(document.token_budget)}`, document.dropped > 0 ? ` · ${document.dropped} left out` : ""),
    ),
  );
  const show = async () => {
    if (!details.open || details.childElementCount > 1) return;
    details.append(first);
    const { overview, messages } = await view.source.context(document);
    details.append(
      element(
        "div",
        { class: "conversation" },
        overview ? element("div", { class: "text overview", dir: "auto" }, overview) : null,
        ...messages.slice(-MESSAGES).map((message) => messageView(message, null, view.actions)),
        messages.length > MESSAGES ? empty(`the newest ${MESSAGES} of ${messages.length}`) : null,
      ),
    );
  };
  details.addEventListener("toggle", show);
  await show();
  return details;
}

// ---- machines ----------------------------------------------------------------------------------

async function machinesPanel(view) {
  const shown = [];
  for (const machine of view.source.machines) {
    if (machine.root === "archives") continue;
    const entries = view.roots.get(machine.root);
    if (machine.root === "status") {
      const steps = await view.source.steps(["status"], view.version);
      shown.push(element("h3", null, "Session"), machineView(machine, steps, "The session", view.actions));
      continue;
    }
    if (!(entries instanceof Entries)) continue;
    for (const [key, fields] of entries.slice(-6).reverse()) {
      const steps = await view.source.steps([machine.root, key, "state"], view.version);
      const kind = fields instanceof Entries ? (fields.get("kind") ?? key) : key;
      const archive = fields instanceof Entries ? (fields.get("archive_id") ?? "") : "";
      const label = `${titled(machine.name)} ${brief(kind, 48)} ${archive}`;
      shown.push(element("h3", null, label), machineView(machine, steps, label, view.actions), stepList(steps, view));
    }
  }
  return element("div", null, ...shown);
}

function stepList(steps, view) {
  return element(
    "ol",
    { class: "steps" },
    ...steps.slice(-24).map((step) =>
      element("li", null, button(String(step.state).replaceAll("_", " "), () => view.actions.go(step.version), { class: "value" }), element("span", { class: "quiet" }, ` at ${step.version}`)),
    ),
  );
}

// ---- two points --------------------------------------------------------------------------------

async function comparePanel(view) {
  const { pinned } = view;
  const input = element("input", {
    type: "number",
    min: view.source.first,
    max: view.source.head,
    value: pinned,
    "aria-label": "Version to compare with",
    onchange: (event) => view.actions.pin(Number(event.target.value)),
  });
  const choose = element(
    "p",
    { class: "lead" },
    "Version ",
    input,
    ` beside version ${view.version}. `,
    button("Compare with this version from now on", () => view.actions.pin(view.version), { class: "plain-button" }),
  );
  const other = await view.source.state(pinned);
  const [first, second] = pinned <= view.version ? [other, view.state] : [view.state, other];
  const found = differences(first, second);
  if (found.length === 0) return element("div", null, choose, empty("Nothing differs."));
  const newer = Math.max(pinned, view.version);
  await reached(view.state.tables, found.slice(0, ROWS));
  const rows = await Promise.all(found.slice(0, ROWS).map(async ({ path, before, after }) => {
    const change = found.length > 100 ? null : await view.source.blame(path, [], newer);
    return element(
      "tr",
      null,
      element("th", { scope: "row" }, ...breakable(pieces(path))),
      element("td", { dir: "auto" }, compared(path, before)),
      element("td", { dir: "auto" }, compared(path, after)),
      element("td", null, change === null ? "" : button(change.version, () => view.actions.blame(path, [], newer), { class: "value", title: "The event that changed it last" })),
    );
  }));
  const heads = ["value", `at ${Math.min(pinned, view.version)}`, `at ${newer}`, "by event"];
  return element(
    "div",
    null,
    choose,
    element(
      "table",
      { class: "changes compared", "aria-label": "Differences" },
      element("thead", null, element("tr", null, ...heads.map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", null, ...rows),
    ),
    found.length > ROWS ? empty(`and ${counted(found.length - ROWS, "more difference")}`) : null,
  );
}

function compared(path, value) {
  if (path[0] === "tail" && value !== undefined) {
    const text = inside(value, ["parts", "0", "text"]) ?? inside(value, ["parts", "0", "tool_name"]) ?? "";
    return brief(`${value.role}: ${text}`, 160);
  }
  return brief(valueText(value), 160);
}

