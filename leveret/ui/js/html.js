/** html`<p>…</p>` creates elements; see https://github.com/developit/htm. */
import { h } from "preact";
import htm from "htm";

export const html = htm.bind(h);

/** Joins class names and skips false ones: classes("row", {held: isHeld}). */
export function classes(...wanted) {
  return wanted
    .flatMap((each) => (typeof each === "object" && each ? Object.keys(each).filter((name) => each[name]) : each))
    .filter(Boolean)
    .join(" ");
}
