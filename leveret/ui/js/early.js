/** Asks who has logged in while all else is still on its way; null when the broker cannot be reached. */
const prefix = document.querySelector('meta[name="leveret-prefix"]').content;

export const whoHasLoggedIn = fetch(`${prefix}/api/leveret/session`, {
  headers: { "X-Requested-With": "leveret-ui" },
  cache: "no-store",
}).catch(() => null);
