// Keeps a page up to date: ages tick, and what the server tells of is fetched as the same page and put in place.
// Everything is there without it, too; then a page is as of when it was loaded.

const live = document.body.dataset.live;
const shown = document.getElementById("live");
const PAUSE = 800; // milliseconds between two looks at least; after one that took long, four times as long

// Ages of what is under way, as tachograph.figures writes durations.
function duration(ms) {
  const two = (count) => String(count).padStart(2, "0");
  if (ms < 100) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 59995) return `${(ms / 1000).toFixed(ms < 10000 ? 1 : 0)} s`;
  const seconds = Math.round(ms / 1000);
  if (ms < 3600000) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600).toLocaleString("en")} h ${two(Math.floor(seconds / 60) % 60)} min`;
}

function tick() {
  for (const age of document.querySelectorAll("[data-since]")) age.textContent = duration(Date.now() - age.dataset.since);
}

// Regions as the server last sent them, by id.
const told = new Map([...document.querySelectorAll("[data-fresh]")].map((region) => [region.id, region.outerHTML]));

// Regions that changed are replaced; what is open, scrolled or in focus in them stays so.
function put(fresh) {
  for (const old of document.querySelectorAll("[data-fresh]")) {
    const region = fresh.getElementById(old.id);
    if (!region) continue;
    if (told.get(old.id) === region.outerHTML) continue;
    told.set(old.id, region.outerHTML);
    const focus = old.contains(document.activeElement) ? way(document.activeElement) : null;
    const open = [...old.querySelectorAll("details[id]")].map((details) => [details.id, details.open]);
    const scrolled = [...old.querySelectorAll(".scroll[id]")].map((part) => [part.id, part.scrollLeft]);
    const rows = new Map([...old.querySelectorAll("[data-key]")].map((row) => [row.dataset.key, row.textContent]));
    const next = document.importNode(region, true);
    old.replaceWith(next);
    for (const [id, state] of open) if (document.getElementById(id)) document.getElementById(id).open = state;
    for (const [id, left] of scrolled) if (document.getElementById(id)) document.getElementById(id).scrollLeft = left;
    if (rows.size) for (const row of next.querySelectorAll("[data-key]")) if (rows.get(row.dataset.key) !== row.textContent) row.classList.add("fresh");
    if (focus) [...next.querySelectorAll("a, button, summary, [tabindex]")].find((each) => way(each) === focus)?.focus({ preventScroll: true });
  }
  document.title = fresh.title;
  tick();
}

function way(element) {
  return element.id || element.getAttribute("href") || element.closest("[id]").id + element.tagName;
}

let wanted = false, looking = false, again = 0;
async function look() {
  wanted = true;
  if (looking || document.hidden) return;
  looking = true;
  try {
    while (wanted && !document.hidden) {
      wanted = false;
      if (String(getSelection())) { wanted = true; await sleep(PAUSE); continue; } // nobody's selection is taken away
      const began = performance.now();
      const answer = await fetch(location.href.split("#")[0], { headers: { Accept: "text/html" } });
      if (answer.redirected || !answer.ok) { said(false); break; }
      put(new DOMParser().parseFromString(await answer.text(), "text/html"));
      await sleep(Math.max(PAUSE, 4 * (performance.now() - began)));
    }
  } catch { said(false); } finally { looking = false; }
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function said(on) {
  if (!shown) return;
  shown.hidden = false;
  shown.classList.toggle("off", !on);
  shown.textContent = on ? "live" : "not live";
}

// A stream is a connection, of which a browser has few: only the page that is looked at has one.
let stream = null;
function listen() {
  if (document.hidden) { stream?.close(); stream = null; return; }
  if (stream || !live) return;
  stream = new EventSource(live);
  stream.onopen = () => { said(true); look(); }; // something may have happened since the page was made
  stream.onmessage = look;
  stream.addEventListener("gap", look);
  stream.onerror = () => said(false);
}

tick();
setInterval(() => {
  tick();
  again += 1;
  if (document.querySelector(".check.running") || (again % 10 === 0 && document.querySelector("[data-since]"))) look();
}, 1000);
document.addEventListener("visibilitychange", listen);
listen();
