// The page: which session is shown at which version, what the address says of it, and the keys.

import { button, element, fill } from "./elements.js";
import { Inspector } from "./inspector.js";
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
    this.texts = [...document.querySelectorAll("script.session-data")].map((script) => script.textContent);
    this.views = new Map();
    this.place = element("div", { class: "place" });
    this.names = this.texts.map((text) => JSON.parse(/^\{"session":("(?:[^"\\]|\\.)*")/.exec(text)[1]));
    this.help = helpDialog();
    fill(root, this.place, this.help);
    window.addEventListener("hashchange", () => this.follow());
    listen(() => this.shown, this.help);
  }

  async view(name) {
    let view = this.views.get(name);
    if (view === undefined) {
      const source = await FileSource.open(this.texts[this.names.indexOf(name)]);
      view = new SessionView(source, (session, version) => this.navigate(session, version), this.extras(name));
      this.views.set(name, view);
    }
    return view;
  }

  extras(name) {
    const buttons = shownAlways(this.help);
    if (this.names.length < 2) return { title: name, buttons };
    const select = element(
      "select",
      { "aria-label": "Session", class: "title", onchange: (event) => this.open(event.target.value) },
      ...this.names.map((each) => element("option", { value: each, selected: each === name }, each)),
    );
    return { title: select, buttons };
  }

  async open(name) {
    const view = await this.view(name);
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
    const view = await this.view(name);
    if (this.shown !== view) {
      this.shown = view;
      fill(this.place, view.root);
      for (const select of view.root.querySelectorAll(".bar select")) select.value = name;
    }
    document.title = `${name} · eventlog`;
    const wanted = name === session ? version : null;
    await view.show(wanted ?? view.source.head);
    view.noteMissing(wanted);
    if (session !== null && name !== session) view.say(`This page has no session ${session}: this is ${name}.`);
    document.documentElement.dataset.ready = performance.now().toFixed(1);
  }
}

/** Let keys and printing act on what is shown. */
function listen(shown, help) {
  document.addEventListener("keydown", (event) => pressed(event, shown(), help));
  window.addEventListener("beforeprint", () => shown()?.printed(true));
  window.addEventListener("afterprint", () => shown()?.printed(false));
}

function pressed(event, view, help) {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  const { target } = event;
  if (target instanceof HTMLElement && target.matches("input:not([type=range]), select, textarea")) {
    if (event.key === "Escape") target.blur();
    return;
  }
  const moves_slider = target instanceof HTMLInputElement && /^(Arrow|Home|End|Page)/.test(event.key);
  if (event.key === "?") help.showModal();
  else if ((moves_slider && !event.shiftKey) || !(view?.pressed(event) ?? false)) return;
  event.preventDefault();
}

function shownAlways(help) {
  return [
    button("◐", changeLooks, { "aria-label": "Light or dark", class: "help" }),
    button("?", () => help.showModal(), { "aria-label": "Keys", class: "help" }),
  ];
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
  const whole = document.documentElement;
  const is_dark = whole.dataset.looks
    ? whole.dataset.looks === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  whole.dataset.looks = is_dark ? "light" : "dark";
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

const root = document.getElementById("page");
if (settings.mode === "file") {
  const pages = new Pages(root);
  await pages.follow().catch((error) => {
    fill(root, element("p", { class: "lead", role: "alert" }, "This page cannot be shown: the file is damaged, or the browser is older than 2023."));
    throw error;
  });
} else {
  const help = helpDialog();
  const inspector = new Inspector(root, settings, () => shownAlways(help), help);
  listen(() => inspector.shown, help);
  await inspector.follow();
}
