// Replaces the middle of the page when the server says that something changed. The page is whole without this.
"use strict";
(function () {
  const status = document.getElementById("live");
  const main = document.getElementById("main");
  let busy = false;
  let again = false;

  // on a narrow screen the timeline is cut: its right end is now
  function showNewest() {
    main.querySelectorAll(".wide > svg").forEach((picture) => { picture.parentNode.scrollLeft = picture.clientWidth; });
  }

  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.pathname, { headers: { Accept: "text/html" } });
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        const open = Array.from(main.querySelectorAll("details"), (part) => part.open);
        const focused = document.activeElement && document.activeElement.getAttribute("href");
        main.replaceChildren(...fresh.getElementById("main").childNodes);
        showNewest();
        main.querySelectorAll("details").forEach((part, index) => { part.open = Boolean(open[index]); });
        if (focused) {
          const same = Array.from(main.querySelectorAll("a")).find((link) => link.getAttribute("href") === focused);
          if (same) { same.focus({ preventScroll: true }); }
        }
      }
    } catch (error) {
      status.textContent = "offline";
    }
    busy = false;
    if (again) { again = false; refresh(); }
  }

  showNewest();
  const source = new EventSource(main.dataset.live);
  source.addEventListener("open", () => { status.textContent = "live"; refresh(); });
  source.addEventListener("error", () => { status.textContent = "not connected"; });
  source.addEventListener("changed", refresh);
})();
