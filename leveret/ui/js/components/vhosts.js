/** The virtual host of a page, in its address as `vhost`. */
import { html } from "../html.js";
import { useLive } from "../live.js";
import { route, setQuery } from "../router.js";

/** The names of the virtual hosts that the user may see. */
export function useVhosts() {
  const { data } = useLive("vhosts", { columns: "name" });
  return (data ?? []).map(({ name }) => name);
}

/** A choice of a virtual host, hidden if there is only one. */
export function VhostChoice({ all = "All virtual hosts" }) {
  const vhosts = useVhosts();
  const chosen = route.value.query.vhost ?? "";
  if (vhosts.length < 2) return null;
  return html`<select aria-label="Virtual host" value=${chosen} onChange=${(event) => setQuery({ vhost: event.target.value || undefined })}>
    ${all && html`<option value="">${all}</option>`}
    ${vhosts.map((name) => html`<option key=${name} value=${name} selected=${name === chosen}>${name}</option>`)}
  </select>`;
}
