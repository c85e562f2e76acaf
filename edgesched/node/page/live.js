// Puts the fresh middle into the page whenever the agent says that it changed. Without this the page is whole, too.
"use strict";
(() => {
  const main = document.getElementById("main");
  const told = document.getElementById("live");
  const source = new EventSource("/page/changes");
  let asking = false;
  let stale = false;

  async function refresh() {
    if (asking) { stale = true; return; }
    asking = true;
    stale = false;
    try {
      const answer = await fetch("/", { cache: "no-store" });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const scrolled = Array.from(main.querySelectorAll(".wide"), (part) => part.scrollLeft);
        main.replaceChildren(...page.getElementById("main").childNodes);
        main.querySelectorAll(".wide").forEach((part, index) => { part.scrollLeft = scrolled[index] || 0; });
        told.textContent = "live";
      }
    } catch {
      told.textContent = "the agent does not answer";
    }
    asking = false;
    if (stale) { refresh(); }
  }

  // on a narrow screen the timeline is cut: its right end is now
  main.querySelectorAll(".wide > svg").forEach((picture) => { picture.parentNode.scrollLeft = picture.clientWidth; });
  source.addEventListener("changed", refresh);
  source.addEventListener("open", () => { told.textContent = "live"; });
  source.addEventListener("error", () => { told.textContent = "the agent does not answer"; });
})();
