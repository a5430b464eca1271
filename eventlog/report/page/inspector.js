// All sessions of a store, live, from the server that this page came from.

import { button, element, fill } from "./elements.js";
import { SessionView } from "./session_view.js";
import { Lines, Tables, Window } from "./states.js";
import { counted, grouped, timeText } from "./wording.js";

const PAGE = 500;
const PAGES_KEPT = 24;
const SOONEST = 1000;
const LATEST = 15_000;
const FOR_GOOD = new Set([401, 403, 404, 410]);

/** Asks the server, with the token that was given. */
class Server {
  constructor() {
    this.token = null;
  }

  headers(more) {
    return this.token === null ? more : { ...more, Authorization: `Bearer ${this.token}` };
  }

  async json(path, query = {}) {
    const given = Object.entries(query).filter(([, value]) => value !== "");
    const answer = await fetch(`inspector/${path}?${new URLSearchParams(given)}`, { headers: this.headers({}) });
    if (!answer.ok) throw await refused(answer);
    return answer.json();
  }

  async post(path, body) {
    const answer = await fetch(`api/v1/${path}`, {
      method: "POST",
      headers: this.headers({ "Content-Type": "application/json" }),
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw await refused(answer);
    return answer.json();
  }

  /**
   * Call with each event of a stream until the signal says to stop. A stream that ends is asked for
   * again, later each time that nothing came; `lost` is called with why, and with null once it is back.
   */
  async listen(address, signal, heard, lost) {
    let pause = SOONEST;
    while (!signal.aborted) {
      try {
        const answer = await fetch(address(), { headers: this.headers({ Accept: "text/event-stream" }), signal });
        if (answer.status === 204) return;
        if (!answer.ok) throw await refused(answer);
        lost(null);
        for await (const event of eventsIn(answer.body)) {
          if (event.name === "error") throw new Error(JSON.parse(event.data).error.message);
          pause = SOONEST;
          heard(event);
        }
      } catch (error) {
        if (signal.aborted) return;
        lost(error);
        if (FOR_GOOD.has(error.status)) return;
      }
      await new Promise((go) => setTimeout(go, pause));
      pause = Math.min(2 * pause, LATEST);
    }
  }
}

async function refused(answer) {
  const said = await answer.json().catch(() => null);
  return new Refusal(answer.status, said?.error?.message ?? (answer.statusText || `status ${answer.status}`));
}

/** Yield the server-sent events of a body. */
async function* eventsIn(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { name: "message", id: null, data: "" };
  for (let { value, done } = await reader.read(); !done; { value, done } = await reader.read()) {
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data !== "") yield event;
        event = { name: "message", id: null, data: "" };
      } else if (line.startsWith("event: ")) event.name = line.slice(7);
      else if (line.startsWith("id: ")) event.id = line.slice(4);
      else if (line.startsWith("data: ")) event.data += line.slice(6);
    }
  }
}

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** A session of the server: what is large comes in pages, a few of which are kept. */
class ServerSource {
  constructor(server, about) {
    this.server = server;
    this.session = about.session;
    this.path = `sessions/${encodeURIComponent(about.session)}`;
    this.first = 0;
    this.head = about.head;
    this.machines = about.machines;
    this.findings = [];
    this.contexts = [];
    this.redaction = null;
    this.pages = new Map();
    this.windows = new Map();
    this.waiting = new Set();
    this.arrived = () => {};
    this.seen = new Map();
  }

  static async open(server, session) {
    return new ServerSource(server, await server.json(`sessions/${encodeURIComponent(session)}/about`));
  }

  kept(cache, key, value) {
    cache.delete(key);
    cache.set(key, value);
    if (cache.size > PAGES_KEPT) cache.delete(cache.keys().next().value);
    return value;
  }

  /** Take over that there are more events. */
  grow(head) {
    this.head = Math.max(this.head, head);
    const last = Math.floor((this.head - 1) / PAGE) * PAGE;
    for (const cache of [this.pages, this.windows])
      for (const [after, window] of cache)
        if (after === last || window.count < PAGE) cache.delete(after);
  }

  async page(after) {
    const known = this.pages.get(after);
    if (known !== undefined) return known;
    const document = await this.server.json(`${this.path}/lines`, { after });
    return this.kept(this.pages, after, new Lines(document, (place) => document.values[place]));
  }

  async window(version) {
    const after = Math.max(0, Math.floor((version - 1) / PAGE) * PAGE);
    const known = this.windows.get(after);
    if (known !== undefined && version <= after + known.count) return known;
    const document = await this.server.json(`${this.path}/window`, { after });
    const window = new Window(document, new Tables(document.values, document.paths), after);
    window.leftOut = document.left_out;
    return this.kept(this.windows, after, window);
  }

  /** Return the line of an event if it is here; else it comes, and the list is drawn again. */
  lineNow(version) {
    const after = Math.floor((version - 1) / PAGE) * PAGE;
    const known = this.pages.get(after);
    if (known !== undefined) return known.holds(version) ? known.line(version) : null;
    if (!this.waiting.has(after)) {
      this.waiting.add(after);
      this.page(after)
        .then(() => this.arrived())
        .catch(() => {})
        .finally(() => this.waiting.delete(after));
    }
    return null;
  }

  async line(version) {
    const page = await this.page(Math.floor((version - 1) / PAGE) * PAGE);
    return page.holds(version) ? page.line(version) : null;
  }

  async state(version) {
    const after = Math.max(0, Math.floor((version - 1) / PAGE) * PAGE);
    const known = this.windows.get(after);
    if (known === undefined || version > after + known.count) {
      const document = await this.server.json(`${this.path}/state`, { version });
      const tables = new Tables(document.values, document.paths);
      const state = new Window({ changes: [], whole: document.whole }, tables, version).state(version);
      state.leftOut = document.left_out;
      return state;
    }
    const state = known.state(version);
    state.leftOut = known.leftOut;
    return state;
  }

  async stored(version) {
    return (await this.window(version)).stored(version);
  }

  async changed(version) {
    return version > 0 ? (await this.window(version)).changed(version) : [];
  }

  async blame(path, names, version) {
    return this.server.json(`${this.path}/blame`, { path: JSON.stringify(path), version });
  }

  async why(version) {
    return version > 0 ? this.server.json(`${this.path}/why`, { version }) : [];
  }

  async filtered({ text, type, actor }) {
    if (text === "" && type === "" && actor === "") return null;
    return (await this.server.json(`${this.path}/found`, { text, type, actor })).versions;
  }

  /** Return the names that were seen so far. */
  names() {
    const types = new Set();
    const actors = new Set();
    for (const window of this.pages.values()) {
      for (const place of window.columns.type) types.add(window.nameOf(place));
      for (const place of window.columns.actor) actors.add(window.nameOf(place));
    }
    actors.delete("");
    const sorted = (names) => [...names].sort().map((name) => [name, null]);
    return { types: sorted(types), actors: sorted(actors) };
  }

  series() {
    return null;
  }

  async steps(path, version) {
    const steps = [];
    let until = version;
    while (until > 0 && steps.length < 12) {
      const change = await this.blame(path, [], until);
      if (change === null) break;
      steps.unshift({ version: change.version, state: change.after });
      until = change.version - 1;
    }
    return steps;
  }
}

/** The list of sessions, and one of them if the address names it. */
export class Inspector {
  constructor(root, settings, extras, help) {
    this.server = new Server();
    this.settings = settings;
    this.extras = extras;
    this.place = element("div", { class: "place" });
    this.skip = 0;
    fill(root, this.place, help);
    this.lost = element("p", { class: "lost", role: "alert", hidden: true });
    root.append(this.lost);
    window.addEventListener("hashchange", () => this.follow());
    // A tab that nobody sees takes no connection: a browser has six for a server.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.stopping?.abort() : this.listen()));
    this.rowOf = new Map();
    this.build();
  }

  build() {
    this.rows = element("tbody", null);
    this.count = element("p", { class: "count", role: "status" });
    const again = () => {
      this.skip = 0;
      this.listen();
    };
    this.text = element("input", { type: "search", placeholder: "Search ids", "aria-label": "Search sessions", oninput: again });
    this.owner = element("input", { type: "search", placeholder: "Owner", "aria-label": "Owner", oninput: again });
    this.state = element(
      "select",
      { "aria-label": "State", onchange: again },
      ...["", "open", "blocked", "running", "adopting", "closed", "deleted", "damaged"].map((name) =>
        element("option", { value: name }, name === "" ? "all states" : name),
      ),
    );
    const heads = ["session", "state", "owner", "events", "last event (UTC)"];
    this.damaged = element(
      "p",
      { class: "note", hidden: true },
      "An index entry is damaged; the events of the session are in place. What rebuilds the index: ",
      element("code", { class: "command" }, "eventlog doctor --rebuild-index"),
    );
    this.none = element("p", { class: "empty", hidden: true }, "No session is like that.");
    this.more = button("Show the next ones", () => {
      this.skip += 200;
      this.listen();
    }, { class: "plain-button", hidden: true });
    this.back = button("Back to the first ones", again, { class: "plain-button", hidden: true });
    this.list = element(
      "main",
      { class: "list" },
      element("div", { class: "bar" }, element("h1", null, "Sessions"), element("span", { class: "spring" }), ...this.extras()),
      element("div", { class: "choice" }, this.text, this.owner, this.state),
      this.count,
      this.damaged,
      element(
        "table",
        { "aria-label": "Sessions" },
        element("thead", null, element("tr", null, ...heads.map((name) => element("th", { scope: "col" }, name)))),
        this.rows,
      ),
      this.none,
      this.back,
      " ",
      this.more,
    );
  }

  /** Follow what is shown, the list or a session; what was followed before is left. */
  listen() {
    this.stopping?.abort();
    if (document.hidden || this.asking || this.shown === null) return;
    const { signal } = (this.stopping = new AbortController());
    const lost = (error) => this.noted(error);
    const view = this.shown;
    if (view === undefined) {
      const query = new URLSearchParams({
        text: this.text.value.trim(),
        owner: this.owner.value.trim(),
        state: this.state.value,
        skip: String(this.skip),
      });
      this.server.listen(() => `inspector/sessions?${query}`, signal, ({ data }) => this.listed(JSON.parse(data)), lost);
      return;
    }
    let from = view.source.head;
    const name = encodeURIComponent(view.source.session);
    const seen = ({ id }) => this.grown(view, (from = Math.max(from, Number(id))));
    this.server.listen(() => `api/v1/sessions/${name}/events?after=${from}`, signal, seen, lost);
  }

  /** Say that the server is away, or that it is back. */
  noted(error) {
    this.lost.hidden = error === null;
    if (error?.status === 401) this.askForToken();
    else if (error !== null)
      fill(this.lost, error instanceof TypeError ? "The server is away. What is shown may be old; it is asked again." : error.message);
  }

  /** Show a list that came; rows that are there already stay, and so does the focus. */
  listed(found) {
    fill(this.count, counted(found.count, "session"));
    this.none.hidden = found.count > 0;
    this.damaged.hidden = !found.sessions.some((line) => line.status === "damaged");
    this.more.hidden = this.skip + found.sessions.length >= found.count;
    this.back.hidden = this.skip === 0;
    const focused = document.activeElement;
    const known = this.rowOf;
    this.rowOf = new Map();
    found.sessions.forEach((line, place) => {
      const text = JSON.stringify(line);
      const old = known.get(line.session_id);
      const row = old?.text === text ? old.row : sessionRow(line, old?.row);
      this.rowOf.set(line.session_id, { text, row });
      if (this.rows.children[place] !== row) this.rows.insertBefore(row, this.rows.children[place] ?? null);
    });
    while (this.rows.children.length > found.sessions.length) this.rows.lastChild.remove();
    if (this.rows.contains(focused) && document.activeElement !== focused) focused.focus();
    document.documentElement.dataset.ready = "yes";
  }

  askForToken() {
    if (this.asking) return;
    this.asking = true;
    const input = element("input", { type: "password", autocomplete: "off", "aria-label": "Token", required: true });
    const enter = (event) => {
      event.preventDefault();
      this.server.token = input.value;
      this.asking = false;
      this.shown = undefined;
      this.follow();
    };
    this.lost.hidden = true;
    fill(
      this.place,
      element(
        "form",
        { class: "token", onsubmit: enter },
        element("h1", null, "Sessions"),
        element("p", null, "This server asks for its token. It is kept in this page alone."),
        input,
        element("button", { type: "submit", class: "plain-button" }, "Show the sessions"),
      ),
    );
    input.focus();
  }

  async follow() {
    this.stopping?.abort();
    const found = /^#(.+?)(?:@(\d{1,15}))?$/.exec(location.hash);
    if (found === null) {
      this.shown = undefined;
      fill(this.place, this.list);
      document.title = "Sessions · eventlog";
      this.listen();
      return;
    }
    let session = found[1];
    try {
      session = decodeURIComponent(session);
      await this.open(session, found[2] === undefined ? null : Number(found[2]));
    } catch (error) {
      if (error.status === 401) this.askForToken();
      else this.refuse(session, error);
    }
    document.documentElement.dataset.ready = "yes";
  }

  /** Say why a session cannot be shown; nothing is followed then. */
  refuse(session, error) {
    this.stopping?.abort();
    this.shown = null;
    document.title = `${session} · eventlog`;
    const is_missing = error.status === 404 || error instanceof URIError;
    fill(
      this.place,
      element(
        "main",
        { class: "list" },
        element("h1", { dir: "auto" }, session),
        element("p", { class: "lead", role: "alert" }, is_missing ? "There is no session with this id in the store." : error.message),
        element("a", { href: "#" }, "All sessions"),
      ),
    );
  }

  async open(session, version) {
    if (this.shown?.source.session !== session) {
      const source = await ServerSource.open(this.server, session);
      this.live = version === null || version >= source.head;
      const note = element("span", { class: "when" });
      const buttons = [...this.actionButtons(session, note), note, ...this.extras()];
      const title = [element("a", { href: "#", class: "up", "aria-label": "All sessions" }, "‹ "), session];
      const view = new SessionView(source, (name, at) => this.moved(name, at), { title, buttons });
      source.arrived = () => {
        view.timeline.offer();
        view.timeline.draw();
      };
      this.shown = view;
      fill(this.place, view.root);
      document.title = `${session} · eventlog`;
    }
    const view = this.shown;
    await view.show(version ?? view.source.head);
    view.noteMissing(version);
    this.listen();
  }

  /** Events came: go on to the newest one, unless an earlier one is looked at. */
  grown(view, head) {
    const was_last = view.version >= view.source.head;
    view.source.grow(head);
    clearTimeout(this.growing);
    this.growing = setTimeout(() => view.grown(was_last || this.live), 100);
    this.live = was_last;
  }

  moved(session, version) {
    this.live = version >= this.shown.source.head;
    history.replaceState(null, "", `#${encodeURIComponent(session)}@${version}`);
  }

  // ---- buttons ---------------------------------------------------------------------------------

  actionButtons(session, note) {
    if (!this.settings.actions) return [];
    const name = encodeURIComponent(session);
    const send = async (label, subject, path, outcome) => {
      if (!window.confirm(`${label} ${subject} of ${session}?`)) return;
      try {
        const answer = await this.server.post(`sessions/${name}/${path}`, { reason: "asked for in the inspector" });
        fill(note, outcome(answer));
      } catch (error) {
        fill(note, error.message);
      }
    };
    const act = (label, verb) => async () => {
      const archive = this.shown.roots.get("meta")?.get("blocked_by") ?? this.unfinished();
      if (archive === null) fill(note, "No archive waits for that.");
      else await send(label, archive, `archives/${archive}/${verb}`, (answer) => `${label}: ${answer.status ?? "done"}`);
    };
    const stop = () =>
      send("Stop", "the run", "stop", (answer) => (answer.run_id === null ? "No run to stop." : `Stop: run ${answer.run_id}`));
    return [
      button("Retry", act("Retry", "retry"), { class: "act" }),
      button("Abandon", act("Abandon", "abandon"), { class: "act" }),
      button("Stop", stop, { class: "act" }),
    ];
  }

  unfinished() {
    for (const [name, fields] of this.shown.roots.get("archives") ?? new Map())
      if (!["completed", "abandoned"].includes(fields.get("state"))) return name;
    return null;
  }
}

/** Return the row of a session; one that there is keeps its link, which may have the focus. */
function sessionRow(line, row = element("tr", null, element("th", { scope: "row", dir: "auto" }, element("a", { href: `#${encodeURIComponent(line.session_id)}` }, line.session_id)))) {
  while (row.children.length > 1) row.lastChild.remove();
  row.append(
    element(
      "td",
      null,
      element("span", { class: line.blocked || line.status === "damaged" ? "state wrong" : "state" }, line.blocked ? `${line.status}, blocked` : line.status),
      line.running ? element("span", { class: "state" }, "running") : "",
    ),
    element("td", { class: "owner", dir: "auto" }, line.owner ?? ""),
    element("td", { class: "amount" }, grouped(line.version)),
    element("td", { class: "when" }, timeText(Date.parse(line.last_record_at) * 1000).slice(0, 19)),
  );
  return row;
}
