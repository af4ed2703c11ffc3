(() => {
  "use strict";
  const grid = document.getElementById("cards");
  if (!grid) return;
  const size = Number(grid.dataset.page);
  const cards = Array.from(grid.children);
  const chips = Array.from(document.querySelectorAll(".chip"));
  const more = document.getElementById("more");
  const status = document.getElementById("status");
  let wanted = "all";
  let limit = size;
  const show = () => {
    let matching = 0;
    for (const card of cards) {
      const fits = wanted === "all" || card.dataset.outcome === wanted;
      if (fits) matching += 1;
      card.hidden = !fits || matching > limit;
    }
    const seen = Math.min(matching, limit);
    status.textContent = seen + " of " + matching + " shown";
    more.hidden = seen === matching;
    for (const chip of chips) chip.setAttribute("aria-pressed", String(chip.dataset.outcome === wanted));
  };
  for (const chip of chips) {
    chip.addEventListener("click", () => { wanted = chip.dataset.outcome; limit = size; show(); });
  }
  more.addEventListener("click", () => { limit += size; show(); });
  document.body.classList.add("scripted");
  show();
})();
