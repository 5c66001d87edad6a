/** Health checks in words: what a probe would hear, asked again with each new number. */
import { useEffect, useState } from "preact/hooks";
import { get } from "../api.js";
import { Section } from "../components/basic.js";
import { html, classes } from "../html.js";
import { pulse } from "../live.js";

const EVERY = 10;  // pulses from one round of checks to the next

const CHECKS = [
  ["health/checks/alarms", "No alarm is raised: publishers need not wait"],
  ["health/checks/ready-to-serve-clients", "It is ready to serve clients"],
  ["health/checks/is-in-service", "It is in service, and not being drained"],
  ["health/checks/below-node-connection-limit", "There is room for more connections"],
  ["health/checks/virtual-hosts", "All virtual hosts run"],
  ["health/checks/metadata-store/initialized/with-data", "Definitions have been read, and can be written"],
  ["health/checks/certificate-expiration/1/months", "No certificate expires within a month"],
  ["health/checks/node-is-quorum-critical", "It may be stopped without harm to other nodes: there are none"],
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

/** The checks, each with a sign and, where it fails, the reason. */
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
        const word = isWell ? "passes" : isWell === false ? "fails" : "not known";
        return html`<li key=${where} class=${classes({ trouble: isWell === false, unknown: isWell === null })} title=${`GET /api/${where}`}><i class="sign" role="img" aria-label=${word}></i><span>${text}${isWell === false ? `: fails, ${why}` : ""}</span></li>`;
      })}
    </ul>
  <//>`;
}
