// Makes elements. Names, paths and whatever the server says are only ever set as text.

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.startsWith("aria-") && name !== "list") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const $ = (id) => document.getElementById(id);

let numbers = 0;
export function newId(what) {
  numbers += 1;
  return `${what}-${numbers}`;
}

// For those who hear the page.
export function announce(words) {
  $("news").textContent = words;
}
