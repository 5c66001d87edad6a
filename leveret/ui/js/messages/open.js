/** One message that is open: its story, its body, its properties, and what can be done with it. */
import { useEffect, useState } from "preact/hooks";
import { ApiError, mayAny, maySend } from "../api.js";
import { Fault, Waiting } from "../components/basic.js";
import { size } from "../format.js";
import { html } from "../html.js";
import { href } from "../router.js";
import { Body } from "./body.js";
import { Details } from "./details.js";
import { EditMessage } from "./edit.js";
import { fetchMessage } from "./hunt.js";
import { Story } from "./story.js";

const AT_ONCE = 256 << 10;  // bytes of a body that is loaded without being asked for
const ALL = 16 << 20;  // as many as the API shows at most

/** The message with an id: what the list knows of it, and more when it has come. */
function useMessage(vhost, name, id, known, isNewest) {
  const [found, setFound] = useState({ id: null });
  const [most, setMost] = useState({ id: null, bytes: 0 });
  const wanted = most.id === id ? most.bytes : AT_ONCE;
  const isWanted = !known || (known.is_truncated && (known.payload_bytes <= AT_ONCE || wanted > AT_ONCE));
  useEffect(() => {
    if (!isWanted) return undefined;
    const abort = new AbortController();
    fetchMessage(vhost, name, { id, state: known?.state, from: known?.from, isNewest, most: wanted, abort: abort.signal }).then(
      (message) => setFound({ id, message, isGone: !message }),
      (error) => {
        if (error.name === "AbortError") return;
        if (!(error instanceof ApiError)) throw error;
        setFound({ id, error });
      },
    );
    return () => abort.abort();
  }, [id, isWanted, wanted]);
  const mine = found.id === id ? found : {};
  return {
    message: mine.message ?? known ?? null,
    error: mine.error,
    isGone: mine.isGone,
    isLoading: isWanted && !mine.message && !mine.error && !mine.isGone,
    isLoadingAll: most.id === id && Boolean(mine.message?.is_truncated) && wanted > AT_ONCE && mine.message.payload.length < wanted && mine.message.payload_bytes <= ALL,
    loadAll: () => setMost({ id, bytes: ALL }),
  };
}

/**
 * known: what the list has of it. act(action): opens a dialog. next, previous: addresses, or null. close: leads back.
 * edited(result, id): called when it was changed.
 */
export function OpenMessage({ vhost, name, id, known, isNewest, at, of, next, previous, close, act, edited }) {
  const { message, error, isGone, isLoading, isLoadingAll, loadAll } = useMessage(vhost, name, id, known, isNewest);
  const [isEditing, setEditing] = useState(false);

  return html`<article class="opened" aria-label="The open message">
    <header>
      <h2>${message ? html`<span class="mono">${message.routing_key || "(no routing key)"}</span>` : "Message"}</h2>
      <span class="grow"></span>
      ${at >= 0 && html`<small class="faint">${at + 1} of ${of}</small>`}
      <a class="button quiet" role="link" href=${previous ?? undefined} aria-disabled=${!previous} aria-label="The message before" title="The message before (↑)">↑</a>
      <a class="button quiet" role="link" href=${next ?? undefined} aria-disabled=${!next} aria-label="The next message" title="The next message (↓)">↓</a>
      <button type="button" class="quiet" aria-label="Close the message" title="Close (Escape)" onClick=${close}>✕</button>
    </header>
    ${error && html`<${Fault} error=${error} what="The message could not be read." />`}
    ${isGone && html`<p class="notice">${message ? "It has left the queue since it was found. You see what was known of it." : "This message is not in the queue any more. A consumer may have taken it, or it has expired."}</p>`}
    ${!message && isLoading && html`<${Waiting} what="Looking for the message" />`}
    ${message && html`
      <${Can} message=${message} act=${act} edit=${() => setEditing(true)} vhost=${vhost} />
      <${Story} message=${message} vhost=${vhost} />
      <${Body} key=${id} message=${message} loadAll=${loadAll} isLoading=${isLoadingAll || (isLoading && message.payload_bytes <= AT_ONCE)} />
      <${Details} message=${message} />`}
    ${isEditing && html`<${EditMessage} vhost=${vhost} name=${name} message=${message} close=${() => setEditing(false)} done=${edited} />`}
  </article>`;
}

/** What can be done with it. */
function Can({ message, act, edit, vhost }) {
  const isFree = message.state === "ready";
  const canEdit = !message.is_truncated;
  const mayPublish = mayAny("write", vhost);
  return html`<div class="actions">
    ${message.death && isFree && maySend(vhost) && html`<button type="button" onClick=${() => act("redrive")}>Send home</button>`}
    ${isFree && mayPublish && html`<button type="button" onClick=${() => act("publish")}>Republish</button>`}
    ${mayPublish && html`<button type="button" disabled=${!canEdit} title=${canEdit ? undefined : `Load all ${size(message.payload_bytes)} of its body first`} onClick=${edit}>${isFree ? "Edit and republish" : "Publish a changed copy"}</button>`}
    ${isFree && html`
      ${maySend(vhost) && html`<button type="button" onClick=${() => act("move")}>Move</button>
        <button type="button" onClick=${() => act("copy")}>Copy</button>`}
      <button type="button" onClick=${() => act("requeue")}>Requeue</button>
      <button type="button" class="danger" onClick=${() => act("delete")}>Delete</button>`}
    <a class="button quiet" href=${href("explain", { vhost, exchange: message.exchange, key: message.routing_key })}>Explain</a>
    ${!isFree && html`<small class="faint">${message.state === "unacked" ? "A consumer holds it. It can be moved or deleted when it has come back." : "It waits to be delivered again. It can be moved or deleted then."}</small>`}
  </div>`;
}
