/** Definitions: everything that is declared, as a file to download, preview and upload. */
import { useState } from "preact/hooks";
import { get, path, post } from "../api.js";
import { Fault, Section } from "../components/basic.js";
import { say } from "../components/dialog.js";
import { useVhosts } from "../components/vhosts.js";
import { count, plural } from "../format.js";
import { html, classes } from "../html.js";

const SECTIONS = {
  users: ["user"],
  vhosts: ["virtual host"],
  permissions: ["permission"],
  topic_permissions: ["topic permission"],
  policies: ["policy", "policies"],
  exchanges: ["exchange"],
  queues: ["queue"],
  bindings: ["binding"],
  parameters: ["parameter"],
  global_parameters: ["global parameter"],
};
const NAMES = 12;  // names that the preview shows of each section

export function Definitions() {
  return html`<${Download} /><${Upload} />`;
}

function Download() {
  const vhosts = useVhosts();
  const [vhost, setVhost] = useState("");
  const [isBusy, setBusy] = useState(false);
  async function download() {
    setBusy(true);
    try {
      const found = await get(vhost ? path("definitions", vhost) : "definitions");
      save(JSON.stringify(found, null, 2), `leveret-${vhost ? `${vhost.replace(/\W+/g, "-")}-` : ""}${new Date().toISOString().slice(0, 10)}.json`);
    } catch (error) {
      say(error.message, "trouble");
    } finally {
      setBusy(false);
    }
  }
  return html`<${Section} title="Download">
    <p class="faint about">Users with their password hashes, virtual hosts, permissions, policies, exchanges, queues and bindings, but no messages.</p>
    <div class="filter">
      <select aria-label="What to download" onChange=${(event) => setVhost(event.target.value)}><option value="">Everything</option>${vhosts.map((name) => html`<option key=${name} value=${name}>Only ${name}</option>`)}</select>
      <button type="button" disabled=${isBusy} onClick=${download}>${isBusy ? "Downloading…" : "Download definitions"}</button>
    </div>
  <//>`;
}

/** Make the browser save a text as a file. */
function save(text, name) {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

/** The known sections of a file: [[section, entries], …]. */
function holds(content) {
  return Object.keys(SECTIONS).filter((section) => Array.isArray(content[section]) && content[section].length).map((section) => [section, content[section]]);
}

const counted = (section, number) => plural(number, ...(SECTIONS[section] ?? [`entry of ${section}`, `entries of ${section}`]));

function nameOf(section, entry) {
  if (typeof entry !== "object" || entry === null) return String(entry);
  if (section === "bindings") return `${entry.source} → ${entry.destination}`;
  if (section.endsWith("permissions")) return `${entry.user}${entry.vhost === undefined ? "" : ` in ${entry.vhost}`}`;
  return String(entry.name ?? "");
}

function Upload() {
  const vhosts = useVhosts();
  const [file, setFile] = useState(null);
  const [error, setError] = useState(null);
  const [vhost, setVhost] = useState("");
  const [result, setResult] = useState(null);
  const [isBusy, setBusy] = useState(false);

  async function choose(event) {
    setFile(null);
    setError(null);
    setResult(null);
    const [chosen] = event.target.files;
    if (!chosen) return;
    try {
      const content = JSON.parse(await chosen.text());
      if (typeof content !== "object" || content === null || Array.isArray(content)) throw new Error("not an object");
      setFile({ name: chosen.name, content });
    } catch {
      setError(new Error(`${chosen.name} is not a JSON file of definitions`));
    }
  }
  async function bring(isTrial) {
    setBusy(true);
    setError(null);
    try {
      const answer = await post("leveret/verbs/import_definitions", { content: file.content, ...(vhost ? { vhost } : {}), ...(isTrial ? { dry_run: true } : {}) });
      setResult({ ...answer.result, isTrial });
    } catch (problem) {
      setResult(null);
      setError(problem);
    } finally {
      setBusy(false);
    }
  }
  const found = file ? holds(file.content) : [];
  const number = found.reduce((sum, [, entries]) => sum + entries.length, 0);
  return html`<${Section} title="Upload">
    <p class="faint about">Entries that the broker does not have are created. Existing entries are changed to match the file, except queues and exchanges: those that differ stay unchanged and are reported. Nothing is deleted.</p>
    <div class="filter">
      <input type="file" aria-label="File of definitions" accept=".json,application/json" onChange=${choose} />
      ${file && html`<select aria-label="Import into" onChange=${(event) => (setVhost(event.target.value), setResult(null))}><option value="">Into the virtual hosts in the file</option>${vhosts.map((name) => html`<option key=${name} value=${name}>Into ${name}</option>`)}</select>`}
    </div>
    ${file && html`<div class="preview">
      <h3>${found.length ? `${file.name} contains ${plural(number, "entry", "entries")}` : `${file.name} contains no known entries`}</h3>
      <dl class="facts">${found.map(([section, entries]) => html`<div key=${section}><dt>${counted(section, entries.length)}</dt><dd class="small">${entries.slice(0, NAMES).map((entry) => nameOf(section, entry)).join(", ")}${entries.length > NAMES ? ` and ${count(entries.length - NAMES)} more` : ""}</dd></div>`)}</dl>
      ${found.length > 0 && html`<div class="actions"><button type="button" disabled=${isBusy} onClick=${() => bring(true)}>Dry run</button><button type="button" class="primary" disabled=${isBusy} onClick=${() => bring(false)}>${isBusy ? "Working…" : `Import ${plural(number, "entry", "entries")}`}</button></div>`}
    </div>`}
    ${error && html`<${Fault} error=${error} what="The definitions were not imported." />`}
    ${result && html`<${Result} result=${result} />`}
  <//>`;
}

function Result({ result }) {
  const { applied = {}, errors = [], notes = [], isTrial } = result;
  const parts = Object.entries(applied).filter(([, number]) => number).map(([section, number]) => counted(section, number));
  return html`<div class=${classes("imported", { trouble: errors.length })} role="status">
    <h3 class=${errors.length ? "of-trouble" : "of-out"}>${isTrial ? "Nothing was changed. " : ""}${errors.length ? `${plural(errors.length, "entry", "entries")} ${isTrial ? "would be" : errors.length === 1 ? "was" : "were"} refused` : isTrial ? "All entries would be imported" : "All entries were imported"}</h3>
    ${parts.length > 0 && html`<p>${isTrial ? "Would be applied: " : "Applied: "}${parts.join(", ")}.</p>`}
    ${errors.length > 0 && html`<ul class="plain">${errors.map(({ path: where, reason }) => html`<li key=${where}><code>${where}</code> ${reason}</li>`)}</ul>`}
    ${notes.length > 0 && html`<details><summary>${plural(notes.length, "note")}</summary><ul class="plain">${notes.map(({ path: where, reason }, at) => html`<li key=${at}><code>${where}</code> ${reason}</li>`)}</ul></details>`}
  </div>`;
}
