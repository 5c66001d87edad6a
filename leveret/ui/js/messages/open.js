/** An open message: its history, body, properties and actions. */
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

const AT_ONCE = 256 << 10;  // bodies of at most this many bytes are loaded automatically
const ALL = 16 << 20;  // maximum bytes of a body that the API shows

/** The message with an id: first the data from the list, then the whole message. */
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
 * known: the message in the list. act(action): opens a dialog. next, previous: addresses, or null. close: closes it.
 * edited(result, id): called after an edit.
 */
export function OpenMessage({ vhost, name, id, known, isNewest, at, of, next, previous, close, act, edited }) {
  const { message, error, isGone, isLoading, isLoadingAll, loadAll } = useMessage(vhost, name, id, known, isNewest);
  const [isEditing, setEditing] = useState(false);

  return html`<article class="opened" aria-label="The open message">
    <header>
      <h2>${message ? html`<span class="mono">${message.routing_key || "(no routing key)"}</span>` : "Message"}</h2>
      <span class="grow"></span>
      ${at >= 0 && html`<small class="faint">${at + 1} of ${of}</small>`}
      <a class="button quiet" role="link" href=${previous ?? undefined} aria-disabled=${!previous} aria-label="Previous message" title="Previous message (↑)">↑</a>
      <a class="button quiet" role="link" href=${next ?? undefined} aria-disabled=${!next} aria-label="Next message" title="Next message (↓)">↓</a>
      <button type="button" class="quiet" aria-label="Close the message" title="Close (Escape)" onClick=${close}>✕</button>
    </header>
    ${error && html`<${Fault} error=${error} what="The message could not be read." />`}
    ${isGone && html`<p class="notice">${message ? "This message has left the queue. You see its last known state." : "This message is no longer in the queue. It may have been consumed, or have expired."}</p>`}
    ${!message && isLoading && html`<${Waiting} what="Loading the message" />`}
    ${message && html`
      <${Can} message=${message} act=${act} edit=${() => setEditing(true)} vhost=${vhost} />
      <${Story} message=${message} vhost=${vhost} />
      <${Body} key=${id} message=${message} loadAll=${loadAll} isLoading=${isLoadingAll || (isLoading && message.payload_bytes <= AT_ONCE)} />
      <${Details} message=${message} />`}
    ${isEditing && html`<${EditMessage} vhost=${vhost} name=${name} message=${message} close=${() => setEditing(false)} done=${edited} />`}
  </article>`;
}

/** The actions on the message. */
function Can({ message, act, edit, vhost }) {
  const isFree = message.state === "ready";
  const canEdit = !message.is_truncated;
  const mayPublish = mayAny("write", vhost);
  return html`<div class="actions">
    ${message.death && isFree && maySend(vhost) && html`<button type="button" onClick=${() => act("redrive")}>Send back</button>`}
    ${isFree && mayPublish && html`<button type="button" onClick=${() => act("publish")}>Republish</button>`}
    ${mayPublish && html`<button type="button" disabled=${!canEdit} title=${canEdit ? undefined : `Load all ${size(message.payload_bytes)} of its body first`} onClick=${edit}>${isFree ? "Edit and republish" : "Publish a changed copy"}</button>`}
    ${isFree && html`
      ${maySend(vhost) && html`<button type="button" onClick=${() => act("move")}>Move</button>
        <button type="button" onClick=${() => act("copy")}>Copy</button>`}
      <button type="button" onClick=${() => act("requeue")}>Requeue</button>
      <button type="button" class="danger" onClick=${() => act("delete")}>Delete</button>`}
    <a class="button quiet" href=${href("explain", { vhost, exchange: message.exchange, key: message.routing_key })}>Explain</a>
    ${!isFree && html`<small class="faint">${message.state === "unacked" ? "A consumer holds this message. You can move or delete it only after it is requeued." : "This message waits for redelivery. You can move or delete it when it is ready again."}</small>`}
  </div>`;
}
