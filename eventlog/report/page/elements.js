// Elements. Text becomes text nodes, never markup.

import { visible } from "./wording.js";

const SVG = "http://www.w3.org/2000/svg";

/** Return an element with attributes and children; a name that begins with "on" is an event's. */
export function element(name, attributes, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** Return an element of a drawing. */
export function drawn(name, attributes, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : visible(String(value)));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== "").map(asNode));
  return made;
}

function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(visible(String(child)));
}

/** Return a button that reads as a text. */
export function button(label, onclick, attributes) {
  return element("button", { type: "button", onclick, ...attributes }, label);
}

/** Put children in place of what an element holds. */
export function fill(parent, ...children) {
  parent.replaceChildren(...children.flat().filter((child) => child !== null).map(asNode));
}

/** Return pieces of a text; lines may break between them. */
export function breakable(texts) {
  return texts.flatMap((text, place) => (place === 0 ? [text] : [element("wbr"), text]));
}
