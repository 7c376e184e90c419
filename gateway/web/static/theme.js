// Runs before the first paint, so that a dark page never flashes white.
"use strict";
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  function apply() {
    const asked = root.dataset.choice;
    root.dataset.bsTheme = asked === "auto" ? (dark.matches ? "dark" : "light") : asked;
    document.dispatchEvent(new Event("theme"));
  }
  dark.addEventListener("change", apply);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-toggle-theme]")) return;
    root.dataset.choice = root.dataset.bsTheme === "dark" ? "light" : "dark";
    document.cookie = `theme=${root.dataset.choice}; Path=/; Max-Age=31536000; SameSite=Strict`;
    apply();
  });
  apply();
})();
