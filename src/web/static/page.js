// Gradio's own words follow the language of the page, not that of the browser.
{
  const language = document.currentScript.dataset.language;
  Object.defineProperty(navigator, "language", { get: () => language });
  Object.defineProperty(navigator, "languages", { get: () => [language] });
  document.documentElement.lang = language;
}

// Videos side by side are played in step: what is done to one is done to the others.
const STEP_S = 0.08; // further apart than this, they are brought together
const media = (video) => [...video.closest(".ls-videos").querySelectorAll("video")];
const others = (video) =>
  video instanceof HTMLVideoElement && video.closest(".ls-videos") ? media(video).filter((v) => v !== video) : [];
let leader = null;

// In a page that is already there, the attribute alone does nothing.
const mute = ({ target }) => { if (target.closest(".ls-videos")) target.muted = target.defaultMuted; };
document.addEventListener("loadedmetadata", mute, true);
new MutationObserver((changes) => changes.forEach(mute)).observe(
  document, { attributeFilter: ["muted"], subtree: true },
);
document.addEventListener("play", (event) => {
  if (leader && !leader.paused && others(event.target).includes(leader)) return;
  leader = event.target;
  for (const video of others(leader)) {
    video.currentTime = leader.currentTime;
    video.play();
  }
}, true);
document.addEventListener("pause", (event) => {
  if (event.target !== leader || event.target.ended) return;
  for (const video of others(leader)) video.pause();
}, true);
document.addEventListener("seeking", (event) => {
  for (const video of others(event.target))
    if (Math.abs(video.currentTime - event.target.currentTime) > STEP_S) video.currentTime = event.target.currentTime;
}, true);
document.addEventListener("timeupdate", (event) => {
  if (event.target !== leader) return;
  for (const video of others(leader))
    if (Math.abs(video.currentTime - leader.currentTime) > STEP_S && !video.ended && !video.seeking)
      video.currentTime = leader.currentTime;
}, true);

document.addEventListener("click", (event) => {
  const hear = event.target.closest("[data-hear]");
  if (hear) {
    const videos = hear.parentElement.previousElementSibling.querySelectorAll("video");
    videos.forEach((video, number) => { video.muted = number !== Number(hear.dataset.hear); });
    for (const button of hear.parentElement.children) button.setAttribute("aria-pressed", String(button === hear));
  }
  const face = event.target.closest("[data-face]");
  if (face) document.querySelector(`#ls-face input[value="${face.dataset.face}"]`)?.click();
  const sort = event.target.closest("[data-sort]");
  if (sort) sortTable(sort.closest("th"));
});

// A table is sorted by the column whose heading is clicked: numbers by value, texts by letters.
function sortTable(heading) {
  const row = heading.parentElement, body = heading.closest("table").tBodies[0];
  const column = [...row.children].indexOf(heading);
  const down = heading.getAttribute("aria-sort") === "ascending";
  for (const other of row.children) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const key = (line) => line.cells[column].dataset.value ?? line.cells[column].textContent;
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === "" || y === "") return (x === "") - (y === ""); // what has no value comes last
    const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
    return down ? -order : order;
  };
  body.append(...[...body.rows].sort(compare));
}
