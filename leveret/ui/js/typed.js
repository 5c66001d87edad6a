/** What somebody has to type before something is destroyed. */

/** A pattern of an input that only this text fits. */
export function literally(text) {
  return text.replace(/[.*+?^$()|[\]\\{}\-\/&~!#%,:;<=>@`]/g, "\\$&");
}
