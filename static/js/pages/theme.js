// Runs before the first paint: the choice kept in this browser wins over the system's.
(() => {
  const kept = localStorage.getItem("roost-theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
})();
