/** Requests the session while the other modules are loading; null if the broker cannot be reached. */
const prefix = document.querySelector('meta[name="leveret-prefix"]').content;

export const whoHasLoggedIn = fetch(`${prefix}/api/leveret/session`, {
  headers: { "X-Requested-With": "leveret-ui" },
  cache: "no-store",
}).catch(() => null);
