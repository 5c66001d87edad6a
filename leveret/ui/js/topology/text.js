/** Computes widths of monospaced text without measuring it in a browser. */

const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{1f300}-\u{1faff}]/u;
export const LETTER = 6.7;  // pixels of a letter at 11 px

/** The width of a text in letters. */
export function lettersOf(text) {
  let found = 0;
  for (const letter of text) found += WIDE.test(letter) ? 2 : 1;
  return found;
}

/** A text shortened to a width in letters: keeps the beginning and the end, where names usually differ. */
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
