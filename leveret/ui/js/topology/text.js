/** Widths of text, without a browser that measures it: the names are in mono. */

const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{1f300}-\u{1faff}]/u;
export const LETTER = 6.7;  // pixels of one of 11 px

/** How many letters wide a text is. */
export function lettersOf(text) {
  let found = 0;
  for (const letter of text) found += WIDE.test(letter) ? 2 : 1;
  return found;
}

/** A text that is at most so many letters wide: beginning and end of what is longer, since names differ there. */
export function fit(text, most) {
  if (lettersOf(text) <= most) return text;
  const letters = [...text];
  const tail = take(letters.toReversed(), Math.floor((most - 1) * 0.4)).reverse();
  return `${take(letters, most - 1 - lettersOf(tail.join(""))).join("")}…${tail.join("")}`;
}

function take(letters, most) {
  const found = [];
  let width = 0;
  for (const letter of letters) {
    width += lettersOf(letter);
    if (width > most) break;
    found.push(letter);
  }
  return found;
}
