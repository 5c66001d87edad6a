/** Health checks as a probe would run them, repeated every few samples. */
import { useEffect, useState } from "preact/hooks";
import { get } from "../api.js";
import { Section } from "../components/basic.js";
import { html, classes } from "../html.js";
import { pulse } from "../live.js";

const EVERY = 10;  // samples between two rounds of checks

const CHECKS = [
  ["health/checks/alarms", "No alarms in effect"],
  ["health/checks/ready-to-serve-clients", "Ready to serve clients"],
  ["health/checks/is-in-service", "In service, not being drained"],
  ["health/checks/below-node-connection-limit", "Below the connection limit"],
  ["health/checks/virtual-hosts", "All virtual hosts are running"],
  ["health/checks/metadata-store/initialized/with-data", "Definitions are loaded"],
  ["health/checks/certificate-expiration/1/months", "No certificate expires within a month"],
  ["health/checks/node-is-quorum-critical", "Not critical for a quorum: there are no other nodes"],
  ["health/checks/quorum-queues-without-elected-leaders/all-vhosts/", "All quorum queues have a leader"],
];

async function ask(where) {
  try {
    await get(where);
    return { isWell: true };
  } catch (error) {
    return { isWell: error.status === 503 ? false : null, why: error.message };
  }
}

/** The checks, each with an icon and, if it fails, the reason. */
export function Checks() {
  const [found, setFound] = useState({});
  useEffect(() => {
    let isGone = false;
    let turn = -1;
    const stop = pulse.subscribe(async () => {
      turn += 1;
      if (turn % EVERY) return;
      const answers = await Promise.all(CHECKS.map(async ([where]) => [where, await ask(where)]));
      if (!isGone) setFound(Object.fromEntries(answers));
    });
    return () => {
      isGone = true;
      stop();
    };
  }, []);
  const failed = CHECKS.filter(([where]) => found[where]?.isWell === false).length;
  const isKnown = Object.keys(found).length > 0;
  return html`<${Section} title="Health checks" note=${isKnown ? (failed ? `${failed} of ${CHECKS.length} fail` : "all pass") : ""}>
    <ul class="checks">
      ${CHECKS.map(([where, text]) => {
        const { isWell = null, why } = found[where] ?? {};
        const word = isWell ? "passes" : isWell === false ? "fails" : "unknown";
        return html`<li key=${where} class=${classes({ trouble: isWell === false, unknown: isWell === null })} title=${`GET /api/${where}`}><i class="sign" role="img" aria-label=${word}></i><span>${text}${isWell === false ? `: fails, ${why}` : ""}</span></li>`;
      })}
    </ul>
  <//>`;
}
