/** Administration: users and permissions, virtual hosts, policies, limits, parameters and definitions. */
import { may } from "../api.js";
import { Allowed, Heading, Tabs } from "../components/basic.js";
import { html } from "../html.js";
import { href } from "../router.js";
import { Definitions } from "../admin/definitions.js";
import { Limits } from "../admin/limits.js";
import { Parameters } from "../admin/parameters.js";
import { Policies } from "../admin/policies.js";
import { User } from "../admin/user.js";
import { Users } from "../admin/users.js";
import { Vhost } from "../admin/vhost.js";
import { Vhosts } from "../admin/vhosts.js";

/** Parts by their names in addresses: [label, required tag, page]. */
const PARTS = {
  users: ["Users", "administrator", ({ names, query }) => (names.length ? html`<${User} name=${names[0]} />` : html`<${Users} query=${query} />`)],
  vhosts: ["Virtual hosts", "management", ({ names, query }) => (names.length ? html`<${Vhost} name=${names[0]} />` : html`<${Vhosts} query=${query} />`)],
  policies: ["Policies", "management", ({ query }) => html`<${Policies} query=${query} />`],
  "operator-policies": ["Operator policies", "management", ({ query }) => html`<${Policies} query=${query} isOperator />`],
  limits: ["Limits", "management", () => html`<${Limits} />`],
  parameters: ["Parameters", "policymaker", () => html`<${Parameters} />`],
  definitions: ["Definitions", "administrator", () => html`<${Definitions} />`],
};

export default function Admin({ names, query }) {
  const allowed = Object.entries(PARTS).filter(([, [, tag]]) => may(tag));
  const chosen = names[0] ?? allowed[0]?.[0];
  const part = PARTS[chosen];
  if (names.length > 1 && part && may(part[1])) return html`<${part[2]} key=${names.join("/")} names=${names.slice(1)} query=${query} />`;
  return html`
    <${Heading} title="Admin" />
    <${Tabs} tabs=${allowed.map(([id, [label]]) => [id, label])} current=${chosen} to=${(id) => href("admin", id)} />
    ${part ? html`<${Allowed} tag=${part[1]} what=${`to view ${part[0].toLowerCase()}`}><${part[2]} key=${chosen} names=${names.slice(1)} query=${query} /><//>` : html`<p>This page does not exist.</p>`}`;
}
