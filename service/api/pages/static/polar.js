"use strict";
// What pages do by themselves: show news, copy, and ask the API to do something.

const said = document.getElementById("said");

function say(words) {
  said.textContent = words;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { said.textContent = ""; }, Math.max(6000, 60 * words.length)); // long enough to read it
}

// The address of the page of what the API has at this address: its kind and its id.
const pageOf = (address) => `/${address.split("/").slice(-2).join("/")}`;

// A page that was opened by a name, or by the first digits of an id, goes on at the whole id, because
// the name may change, or be given to something else, while the page is open.
const described = document.querySelector("[data-describe]")?.dataset.describe;
if (described && pageOf(described) !== location.pathname) {
  history.replaceState(history.state, "", pageOf(described) + location.search + location.hash);
}

// Loads this page again; what is ticked stays ticked.
const ticks = `ticked ${location.pathname}`;
function reload() {
  const ticked = [...document.querySelectorAll("[type=checkbox]:checked")].map((box) => box.value);
  try {
    sessionStorage.setItem(ticks, JSON.stringify(ticked));
  } catch { /* there is no room, and the page is loaded without its ticks */ }
  location.reload();
}
for (const value of JSON.parse(sessionStorage.getItem(ticks) ?? "[]")) {
  for (const box of document.querySelectorAll(`[value="${CSS.escape(value)}"]`)) box.checked = true;
}
sessionStorage.removeItem(ticks);

// Opens the page of what was made, or loads this page again if nothing was, unless its reader would
// lose what they are writing.
function goOn(made) {
  const fields = [...document.querySelectorAll("[data-describe] [name]")];
  const isSaved = fields.every((field) => field.value === field.defaultValue);
  const page = made && `/${made.split("/").slice(-2).join("/")}`; // its kind and its id
  if (isSaved && page) location.assign(page);
  else if (isSaved) reload();
  else if (page) say(`This has made ${page}; its page is not opened, so that what you write is not lost.`);
  else say("This page is loaded again once you have saved what you write.");
}

// Milliseconds until a page whose stream was refused asks for it again; twice as many each time.
const AGAIN_MS = 2_000;
// Each open page takes at most this share of a core of the service, but rests no longer than this.
const SHARE = 0.003;
const LONGEST_MS = 60_000;
const bell = document.querySelector("[data-notify]");
const wish = `tell ${location.pathname}`;
if (bell && "Notification" in window) bell.hidden = false;

bell?.addEventListener("click", async () => {
  const isAllowed = await Notification.requestPermission() === "granted";
  if (isAllowed) sessionStorage.setItem(wish, "yes");
  say(isAllowed ? "This page tells you when it ends, as long as it stays open." : "The browser does not allow pages of this address to tell you anything.");
});

// Says that what this page shows has ended, if the reader has asked for it.
function tell(fresh) {
  if (!sessionStorage.getItem(wish)) return;
  sessionStorage.removeItem(wish);
  try {
    new Notification(fresh.title, { body: fresh.querySelector(".headline")?.textContent.trim() });
  } catch { /* some browsers of phones have no such notifications */ }
}

// What can have the focus, which includes all that scrolls, and what tells such places apart.
const PLACES = "a[href], button, input, select, textarea, summary, [tabindex]";
const NAMES = ["id", "href", "value", "data-post", "data-fetch", "data-copy", "data-copy-here", "aria-label"];

// The places of a part by their names; those of the same name are numbered.
function placesOf(part) {
  const places = new Map();
  const counts = new Map();
  for (const place of part.querySelectorAll(PLACES)) {
    const name = [place.localName, ...NAMES.map((each) => place.getAttribute(each))].join(" ");
    const count = counts.get(name) ?? 0;
    counts.set(name, count + 1);
    places.set(`${name} ${count}`, place);
  }
  return places;
}

// Gives the focus to the place that had it, or else to the nearest before it that is still there
// and asks the service for nothing, or else to the part.
function focusAgain(part, names, places) {
  const near = names.slice(0, -1).reverse().find((name) => places.get(name) && places.get(name).dataset.post === undefined);
  part.tabIndex = -1;
  (places.get(names.at(-1)) ?? places.get(near) ?? part).focus({ preventScroll: true });
}

// Whether a part was left as it is because a button of it was at work.
let isLeft = false;

async function refresh() {
  const answer = await fetch(location.href, { headers: { "Polar-Refresh": "yes" } });
  if (answer.status === 404) return null; // what the page shows was deleted
  if (!answer.ok) return 0;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  isLeft = false;
  for (const part of document.querySelectorAll("[data-part]")) {
    // a button that is at work would not show how it went; this part is fetched again afterwards
    if (part.querySelector("button[data-words], button:disabled")) {
      isLeft = true;
      continue;
    }
    const next = fresh.getElementById(part.id);
    const isOpen = [...part.querySelectorAll("details")].map((each) => each.open);
    const before = [...placesOf(part)];
    const focused = before.findIndex(([, place]) => place === document.activeElement);
    const scrolled = before.map(([name, { scrollLeft, scrollTop }]) => [name, scrollLeft, scrollTop]);
    const ticked = [...part.querySelectorAll(":checked")].map((each) => each.value);
    if (!next || next.innerHTML === part.innerHTML) continue;
    part.innerHTML = next.innerHTML;
    for (const box of part.querySelectorAll("[type=checkbox]")) box.checked = ticked.includes(box.value);
    part.querySelectorAll("details").forEach((each, place) => { each.open = isOpen[place] ?? false; });
    const places = placesOf(part);
    for (const [name, left, top] of scrolled) if (left || top) places.get(name)?.scrollTo(left, top);
    if (focused >= 0) focusAgain(part, before.slice(0, focused + 1).map(([name]) => name), places);
  }
  document.title = fresh.title;
  const main = document.querySelector("main");
  if (main.dataset.live !== fresh.querySelector("main").dataset.live) { // it has ended, or goes on otherwise
    tell(fresh);
    goOn();
  }
  const [, took = 0] = /dur=([\d.]+)/.exec(answer.headers.get("Server-Timing")) ?? [];
  return Math.min(took / SHARE, LONGEST_MS);
}

const live = document.querySelector("main").dataset.live;
if (live) {
  let isBusy = false;
  let isLate = false;
  let isFirst = true; // a page is fetched at its opening, too, and is ready for news afterwards
  async function hear() {
    if (isBusy) { isLate = true; return; }
    do {
      isBusy = true;
      isLate = false;
      try {
        const rest = await refresh();
        if (rest === null) { leave(); return; }
        if (!isFirst) await new Promise((resolve) => { setTimeout(resolve, rest); });
        isFirst = false;
      } catch { /* the next change tries again */ }
    } while (isLate);
    isBusy = false;
  }
  document.addEventListener("free", () => { if (isLeft) hear(); });
  let news;
  let glances;
  let later;
  let again = AGAIN_MS;
  let isAway = false;
  // Browsers have six connections to the service for all of their pages, so that a seventh page with
  // a stream would wait for ever; a page that nobody sees has none, and looks now and then.
  function follow() {
    news?.close();
    clearInterval(glances);
    clearTimeout(later);
    if (document.hidden) {
      glances = setInterval(hear, LONGEST_MS);
      return;
    }
    news = new EventSource(live);
    news.addEventListener("changed", hear);
    news.addEventListener("open", () => {
      if (isAway) say("");
      isAway = false;
      again = AGAIN_MS;
    });
    news.addEventListener("error", () => {
      const isRefused = news.readyState === EventSource.CLOSED; // else the browser asks again by itself
      isAway = true;
      say(isRefused ? "This page no longer follows what goes on; load it again." : "The service does not answer; this page goes on as soon as it does.");
      clearTimeout(say.timer);
      if (!isRefused) return;
      later = setTimeout(follow, again);
      again = Math.min(2 * again, LONGEST_MS);
    });
  }
  document.addEventListener("visibilitychange", follow);
  follow();
  function leave() {
    news?.close();
    clearInterval(glances);
    clearTimeout(later);
    document.removeEventListener("visibilitychange", follow);
    say("What this page shows has been deleted.");
    clearTimeout(say.timer);
  }
}

// Copies what is at an address. The browser gets a promise of it, because some let pages copy
// only while they handle a click.
async function copyFrom(address) {
  if (!window.ClipboardItem) throw new Error("The browser lets pages copy only if they come by HTTPS or from this machine; the link beside the button has the same.");
  const content = fetch(address).then(async (answer) => {
    if (!answer.ok) throw new Error((await answer.json()).detail);
    return new Blob([await answer.text()], { type: "text/plain" });
  });
  try {
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": content })]);
  } catch (error) {
    await content; // whose own error says more
    throw error;
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const address = button.dataset.fetch;
  // what is copied speaks with this service from any machine
  const text = button.dataset.copy ?? button.dataset.copyHere?.replace("ORIGIN", location.origin);
  if (text !== undefined || address !== undefined) {
    const words = button.dataset.words ??= button.textContent;
    let lasts = 0;
    button.setAttribute("aria-busy", "true");
    try {
      await (text === undefined ? copyFrom(address) : navigator.clipboard.writeText(text));
      button.textContent = "copied";
      lasts = 1500;
    } catch (error) {
      say(text ?? error.message);
    }
    button.removeAttribute("aria-busy");
    setTimeout(() => {
      button.textContent = words;
      delete button.dataset.words;
      document.dispatchEvent(new Event("free"));
    }, lasts);
  }
  if (button.dataset.post === undefined) return;
  if (button.dataset.ask && !confirm(button.dataset.ask)) return;
  button.disabled = true;
  // not crypto.randomUUID, which browsers have for HTTPS and this machine alone
  const key = crypto.getRandomValues(new Uint32Array(4)).join("-");
  const headers = { "Idempotency-Key": key };
  if (button.dataset.body) headers["Content-Type"] = "application/json";
  try {
    const answer = await fetch(button.dataset.post, { method: "POST", headers, body: button.dataset.body });
    if (answer.ok) goOn(answer.headers.get("Location"));
    else say((await answer.json()).detail);
  } catch (error) {
    say(`the service did not answer: ${error.message}`);
  }
  button.disabled = false;
  document.dispatchEvent(new Event("free"));
});

// Drafts end with the login: a page without the button that logs out belongs to no login.
if (!document.querySelector(".leave")) sessionStorage.clear();
const draft = document.getElementById("draft");
if (draft) {
  const { spec: text, key } = draft.elements;
  const shown = document.getElementById("check");
  let asked = 0;
  let timer;
  async function check() {
    const turn = ++asked;
    try {
      const answer = await fetch(draft.dataset.check, { method: "POST", body: new URLSearchParams(new FormData(draft)) });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("check");
      if (turn !== asked) return;
      shown.removeAttribute("aria-busy");
      if (!fresh) say(`the service could not check the spec: ${answer.status} ${answer.statusText}`);
      else if (fresh.innerHTML !== shown.innerHTML) shown.innerHTML = fresh.innerHTML;
    } catch (error) {
      say(`the service did not answer: ${error.message}`);
    }
  }
  // Who comes back finds what they wrote, with the key of the page on which they wrote it, so that
  // the same text is not submitted twice; browsers keep nothing of such a page themselves.
  if (history.state) key.value = history.state;
  else history.replaceState(key.value, "");
  const place = `draft of ${draft.dataset.login}: ${key.value}`;
  const kept = sessionStorage.getItem(place);
  if (kept !== null && kept !== text.value) {
    text.value = kept;
    check();
  }
  text.addEventListener("input", () => {
    try {
      sessionStorage.setItem(place, text.value);
    } catch { /* there is no room for more drafts; this one is still on the page */ }
    shown.setAttribute("aria-busy", "true");
    clearTimeout(timer);
    timer = setTimeout(check, 400);
  });
  draft.addEventListener("submit", (event) => {
    if (event.submitter?.formAction !== new URL(draft.dataset.check, location.href).href) return;
    event.preventDefault();
    check();
  });
}

// The tags that these lines set, by their keys.
function tagsOf(lines) {
  return new Map(lines.split("\n").filter((line) => line.trim()).map((line) => {
    const [key, ...value] = line.split("=");
    return [key.trim(), value.join("=").trim()];
  }));
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.dataset.describe === undefined) return;
  event.preventDefault();
  const { name, tags, note } = form.elements;
  // what was not changed here is not sent, because others may have changed it meanwhile
  const changes = {};
  for (const field of [name, note]) if (field.value !== field.defaultValue) changes[field.name] = field.value;
  const before = tagsOf(tags.defaultValue);
  const after = tagsOf(tags.value);
  const removed = [...before.keys()].filter((key) => !after.has(key)).map((key) => [key, null]);
  const set = [...after].filter(([key, value]) => before.get(key) !== value);
  if (removed.length + set.length) changes.tags = Object.fromEntries([...removed, ...set]);
  try {
    const now = await fetch(form.dataset.describe);
    const theirs = now.ok ? await now.json() : {}; // what is refused here is refused below, too
    const twice = [name, note].find((field) => field.name in changes && (theirs[field.name]?.replace(/\r\n?/g, "\n") ?? field.defaultValue) !== field.defaultValue);
    if (twice) {
      say(`The ${twice.name} has been changed elsewhere since this page was loaded. Copy yours, load the page again, and make one of both.`);
      return;
    }
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch(form.dataset.describe, { method: "PATCH", headers, body: JSON.stringify(changes) });
    if (answer.ok) reload();
    else say((await answer.json()).detail);
  } catch (error) {
    say(`the service did not answer: ${error.message}`);
  }
});
