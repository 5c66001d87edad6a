/** The body of a message as foldable JSON, text or bytes, decompressed if it is compressed. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { Choice } from "../components/table.js";
import { plural, size } from "../format.js";
import { html } from "../html.js";
import { route } from "../router.js";
import { JsonTree, parseJson } from "./json.js";

const PIECE = 64 << 10;  // characters of a text that are shown at first
const ROWS = 256;  // rows of 16 bytes that are shown at first
const PACKED = { gzip: "gzip", "x-gzip": "gzip", deflate: "deflate" };
const MOST = 32 << 20;  // maximum bytes of a decompressed body
const NO_JSON = Symbol("not JSON");

/** The bytes of a payload from the API. */
export function bytesOf({ payload, payload_encoding: encoding }) {
  if (encoding !== "base64") return new TextEncoder().encode(payload);
  const text = atob(payload);
  const found = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) found[at] = text.charCodeAt(at);
  return found;
}

/** Bytes as text; null if they are not UTF-8. */
export function textOf(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

async function unpack(bytes, kind) {
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(kind)).getReader();
  const pieces = [];
  let length = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    pieces.push(value);
    length += value.length;
    if (length > MOST) {
      reader.cancel().catch(() => {});
      throw new Error(`it has more than ${size(MOST)} when decompressed`);
    }
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

/** The decompressed body of a message: {bytes, error}; null while it is not known, or if it is not compressed. */
function useUnpacked(message, kind) {
  const [found, setFound] = useState(null);
  useEffect(() => {
    let isGone = false;
    setFound(null);
    if (kind && !message.is_truncated) {
      unpack(bytesOf(message), kind).then(
        (bytes) => isGone || setFound({ bytes }),
        (error) => isGone || setFound({ error: `It could not be decompressed: ${error.message || `it is not valid ${kind}`}.` }),
      );
    }
    return () => {
      isGone = true;
    };
  }, [message, kind]);
  return found;
}

/** The body of a message. loadAll: loads the rest of a truncated body. isLoading: while it is loading. */
export function Body({ message, loadAll, isLoading }) {
  const kind = PACKED[message.properties.content_encoding?.trim().toLowerCase()];
  const unpacked = useUnpacked(message, kind);
  const bytes = unpacked?.bytes ?? null;
  const text = useMemo(() => (bytes ? textOf(bytes) : message.payload_encoding === "string" ? message.payload : null), [message, bytes]);
  const json = useMemo(() => (text === null || message.is_truncated || !/^\s*[[{"\d\-tfn]/.test(text) ? NO_JSON : parsed(text)), [text, message]);
  const isTree = json !== NO_JSON && typeof json === "object" && json !== null;
  const views = [isTree && ["json", "JSON"], text !== null && ["text", "Text"], ["hex", "Bytes"]].filter(Boolean);
  const wanted = route.value.query.as;
  const view = views.some(([id]) => id === wanted) ? wanted : views[0][0];

  if (!message.payload_bytes) return html`<section class="body"><h3>Body</h3><p class="faint">This message has no body.</p></section>`;
  return html`<section class="body" aria-label="Body">
    <header>
      <h3>Body</h3>
      <span class="faint">${message.properties.content_type ?? "no content type"}, ${size(message.payload_bytes)}${bytes && html`, ${size(bytes.length)} decompressed from ${message.properties.content_encoding}`}</span>
      <span class="grow"></span>
      ${views.length > 1 && html`<${Choice} name="as" label="Show the body as" choices=${views} />`}
      ${text !== null && html`<${Copy} text=${text} />`}
    </header>
    ${message.is_truncated && html`<p class="notice" role="note">
      Only the first ${size(shownBytes(message))} of ${size(message.payload_bytes)} are shown.
      <button type="button" onClick=${loadAll} disabled=${isLoading}>${isLoading ? "Loading…" : "Load all"}</button>
    </p>`}
    ${kind && message.is_truncated && html`<p class="faint">The body is compressed with ${message.properties.content_encoding}. Load all of it to decompress it.</p>`}
    ${unpacked?.error && html`<p class="notice trouble">${unpacked.error}</p>`}
    ${view === "json" && html`<${JsonTree} value=${json} />`}
    ${view === "text" && html`<${Text} text=${text} />`}
    ${view === "hex" && html`<${Bytes} bytes=${bytes ?? bytesOf(message)} />`}
  </section>`;
}

function shownBytes({ payload, payload_encoding: encoding }) {
  return encoding === "base64" ? Math.floor((payload.length * 3) / 4) : new TextEncoder().encode(payload).length;
}

function parsed(text) {
  try {
    return parseJson(text);
  } catch {
    return NO_JSON;
  }
}

function Copy({ text }) {
  const [isCopied, setCopied] = useState(false);
  async function copy() {
    await navigator.clipboard?.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  }
  return html`<button type="button" class="quiet" onClick=${copy}>${isCopied ? "Copied" : "Copy"}</button>`;
}

function Text({ text }) {
  const [shown, setShown] = useState(PIECE);
  return html`<pre class="raw" tabindex="0" role="group" aria-label="Body as text">${text.slice(0, shown)}</pre>
    ${shown < text.length && html`<button type="button" class="link" onClick=${() => setShown(shown + 4 * PIECE)}>Show more of ${plural(text.length - shown, "further character")}</button>`}`;
}

function hexRow(bytes, at) {
  const row = bytes.subarray(at, at + 16);
  const hex = [...row].map((byte) => byte.toString(16).padStart(2, "0"));
  const left = hex.slice(0, 8).join(" ").padEnd(23);
  const right = hex.slice(8).join(" ").padEnd(23);
  const text = [...row].map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
  return `${at.toString(16).padStart(8, "0")}  ${left}  ${right}  ${text}`;
}

function Bytes({ bytes }) {
  const [rows, setRows] = useState(ROWS);
  const lines = [];
  for (let at = 0; at < bytes.length && at < rows * 16; at += 16) lines.push(hexRow(bytes, at));
  return html`<pre class="raw hex" tabindex="0" role="group" aria-label="Body as bytes">${lines.join("\n")}</pre>
    ${rows * 16 < bytes.length && html`<button type="button" class="link" onClick=${() => setRows(rows * 4)}>Show more of ${plural(bytes.length - rows * 16, "further byte")}</button>`}`;
}
