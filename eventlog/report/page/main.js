// The page: which session is shown at which version, what the address says of it, and the keys.

import { button, element, fill } from "./elements.js";
import { FileSource } from "./sources.js";
import { SessionView } from "./session_view.js";

const settings = JSON.parse(document.getElementById("settings").textContent);
const KEYS = [
  ["← →", "one event back, on; with Shift ten"],
  ["Home End", "the first version, the last one"],
  ["j k", "the next, the previous of the events that the filter shows"],
  ["/", "search"],
  ["1 … 9", "the panels of the state"],
  ["c", "compare with this version"],
  ["?", "this list"],
];

/** The sessions in the page, one of them shown. */
class Pages {
  constructor(root) {
    this.scripts = [...document.querySelectorAll("script.session")];
    this.views = new Map();
    this.place = element("div", null);
    this.names = this.scripts.map((script) => /^\{"session":("(?:[^"\\]|\\.)*")/.exec(script.textContent)?.[1]).map((text) => JSON.parse(text));
    this.help = helpDialog();
    fill(root, this.place, this.help);
    window.addEventListener("hashchange", () => this.follow());
    document.addEventListener("keydown", (event) => this.pressed(event));
    window.addEventListener("beforeprint", () => this.shown?.printed(true));
    window.addEventListener("afterprint", () => this.shown?.printed(false));
  }

  view(name) {
    let view = this.views.get(name);
    if (view === undefined) {
      const script = this.scripts[this.names.indexOf(name)];
      const source = new FileSource(JSON.parse(script.textContent));
      view = new SessionView(source, (session, version) => this.navigate(session, version), this.extras(name));
      this.views.set(name, view);
    }
    return view;
  }

  extras(name) {
    const help = button("?", () => this.help.showModal(), { "aria-label": "Keys", class: "help" });
    const looks = button("◐", changeLooks, { "aria-label": "Light or dark", class: "help" });
    if (this.names.length < 2) return [looks, help];
    const select = element(
      "select",
      { "aria-label": "Session", onchange: (event) => this.open(event.target.value) },
      ...this.names.map((each) => element("option", { value: each, selected: each === name }, each)),
    );
    return [select, looks, help];
  }

  open(name) {
    const view = this.view(name);
    this.navigate(name, view.version < 0 ? view.source.head : view.version);
    this.follow();
  }

  navigate(session, version) {
    const there = addressOf(session, version);
    if (location.hash === there) return;
    // The slider passes many versions: going back leads to where one was before.
    if (this.moving) history.replaceState(null, "", there);
    else history.pushState(null, "", there);
    this.moving = true;
    clearTimeout(this.resting);
    this.resting = setTimeout(() => (this.moving = false), 700);
  }

  async follow() {
    const { session, version } = placeIn(location.hash);
    const name = this.names.includes(session) ? session : this.names[0];
    const view = this.view(name);
    if (this.shown !== view) {
      this.shown = view;
      fill(this.place, view.root);
      for (const select of view.root.querySelectorAll(".bar select")) select.value = name;
    }
    document.title = `${name} · eventlog`;
    await view.show(name === session && version !== null ? version : view.source.head);
    document.documentElement.dataset.ready = "yes";
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.help.open) return;
    const { target } = event;
    const writes = target instanceof HTMLElement && target.matches("input:not([type=range]), select, textarea");
    if (writes) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (event.key === "?") this.help.showModal();
    else if (target instanceof HTMLInputElement && /^(Arrow|Home|End|Page)/.test(event.key) && !event.shiftKey) return;
    else if (!(this.shown?.pressed(event) ?? false)) return;
    event.preventDefault();
  }
}

function helpDialog() {
  const dialog = element(
    "dialog",
    { class: "keys", "aria-label": "Keys" },
    element("h2", null, "Keys"),
    element("dl", null, ...KEYS.flatMap(([key, meaning]) => [element("dt", null, key), element("dd", null, meaning)])),
    element("p", { class: "quiet" }, `A click on a value shows the event that set it. The address of this page names the session and the version. Made by eventlog ${settings.version}.`),
  );
  dialog.append(button("Close", () => dialog.close(), { class: "plain-button" }));
  return dialog;
}

function changeLooks() {
  const root = document.documentElement;
  const is_dark = root.dataset.looks
    ? root.dataset.looks === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.looks = is_dark ? "light" : "dark";
}

function addressOf(session, version) {
  return `#${encodeURIComponent(session)}@${version}`;
}

function placeIn(hash) {
  const found = /^#(.+)@(\d{1,15})$/.exec(hash);
  if (found === null) return { session: null, version: null };
  try {
    return { session: decodeURIComponent(found[1]), version: Number(found[2]) };
  } catch {
    return { session: null, version: null };
  }
}

const pages = new Pages(document.getElementById("page"));
await pages.follow();
