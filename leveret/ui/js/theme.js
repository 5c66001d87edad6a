/** Sets the light or dark theme before the first rendering. Saved in this browser; "system" follows the operating system. */
const KEY = "leveret.theme";

export function currentTheme() {
  return localStorage.getItem(KEY) ?? "system";
}

/** @param {"system" | "light" | "dark"} theme */
export function setTheme(theme) {
  if (theme === "system") {
    localStorage.removeItem(KEY);
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem(KEY, theme);
    document.documentElement.dataset.theme = theme;
  }
  window.dispatchEvent(new Event("theme"));  // for canvas drawings
}

setTheme(currentTheme());
