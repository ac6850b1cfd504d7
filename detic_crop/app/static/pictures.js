// A few crops of a folder at a glance.

import { get } from "./api.js";
import { make } from "./dom.js";

const SIDE = 200; // px, as wide as the pictures that the API sends

export async function stripOf(query) {
  const crops = await get(`crops?${query}&most=12`);
  return make("ul", { className: "strip", tabIndex: 0, "aria-label": "Crops, the most suspicious first" }, crops.map(cardOf));
}

function cardOf({ name, found, flags, jpeg }) {
  const canvas = make("canvas", { width: SIDE, height: SIDE, role: "img", "aria-label": `crop of ${name}` });
  if (jpeg) paint(canvas, jpeg);
  return make("li", {}, canvas, make("div", { className: "name", title: name }, name), make("div", { className: "soft" }, [found, ...flags].join(", ")));
}

// On a canvas, since the page's policy lets no picture be made of bytes.
async function paint(canvas, jpeg) {
  const bytes = Uint8Array.from(atob(jpeg), (sign) => sign.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" })).catch(() => null);
  if (!picture) return;
  const scale = Math.min(SIDE / picture.width, SIDE / picture.height);
  const [width, height] = [picture.width * scale, picture.height * scale];
  canvas.getContext("2d").drawImage(picture, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
}
