/** Where dead letters go. This rarely changes, so it is loaded once when a page opens. */
import { useMemo } from "preact/hooks";
import { path } from "./api.js";
import { deadLetterWays } from "./judge.js";
import { useLive } from "./live.js";

/** The Map of deadLetterWays(), of one virtual host or of all. */
export function useWays(vhost) {
  const below = (kind) => (vhost === undefined ? kind : path(kind, vhost));
  const queues = useLive(below("queues"), { columns: "name,vhost,arguments,effective_policy_definition" }, { isStill: true });
  const bindings = useLive(below("bindings"), { columns: "vhost,source,destination,destination_type,routing_key" }, { isStill: true });
  const exchanges = useLive(below("exchanges"), { columns: "vhost,name,type" }, { isStill: true });
  return useMemo(
    () => deadLetterWays(queues.data ?? [], bindings.data ?? [], exchanges.data ?? []),
    [queues.data, bindings.data, exchanges.data],
  );
}
