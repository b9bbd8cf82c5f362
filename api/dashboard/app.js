// The live page: one stream of server-sent events draws every campaign of the tenant; nothing is polled or reloaded.
const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const count = (value) => number.format(value ?? 0);
const clock = (iso) => new Date(iso).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

const REASONS = {
  quota: "Waiting for quota", "running-limit": "Waiting for a free place among the running campaigns", "ab-test": "Held for the A/B winner",
  paused: "Paused", "not-before": "Waiting for its time", "dependency-down": "Waiting: a dependency is down",
  "route-limit": "Waiting: its route takes no more for now", "route-down": "Waiting: its route takes no messages",
  "warming-up": "Waiting: its route is warming up", audience: "Preparing the audience",
};
const VERBS = { running: ["pause", "cancel"], paused: ["resume", "cancel"], draft: ["start"], scheduled: ["start", "cancel"] };
const cards = new Map();
let stream = null;

async function api(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: { "X-Requested-With": "dashboard", ...options.headers } });
  if (answer.status === 401) showSignIn();
  return answer;
}

function showSignIn(problem = "") {
  stream?.close();
  $("sign-in").hidden = false; $("totals").hidden = true; $("sign-out").hidden = true; $("empty").hidden = true;
  $("use-link").hidden = true; $("notice").hidden = true;
  $("campaigns").replaceChildren(); cards.clear(); $("tenant").textContent = "";
  $("sign-in-problem").textContent = problem;
  $("connection").textContent = "";
}

// `credential` is { apiKey } or { code }. The server refuses both in a browser that is signed in.
async function signIn(credential) {
  const headers = { "Content-Type": "application/json" };
  const answer = await api("/session", { method: "POST", headers, body: JSON.stringify(credential) });
  const said = await answer.json();
  if (answer.ok) return open(said);
  const session = answer.status === 409 ? await whoAmI() : null;
  if (!session) return showSignIn(said.detail);
  open(session); tell(said.detail);
}

function open(session) {
  $("sign-in").hidden = true; $("use-link").hidden = true;
  $("notice").hidden = true; $("sign-out").hidden = false;
  $("tenant").textContent = `${session.data.tenantId} · ${session.data.role}`;
  stream?.close();
  stream = new EventSource("/api/v1/events");
  stream.addEventListener("campaigns", (event) => { $("connection").textContent = "live"; draw(JSON.parse(event.data)); });
  // The browser reconnects by itself unless it was refused: then ask who we are again.
  stream.onerror = () => { $("connection").textContent = "reconnecting…"; if (stream.readyState === EventSource.CLOSED) setTimeout(resume, 2000); };
}

function draw({ campaigns, totals }) {
  $("totals").hidden = false; $("empty").hidden = campaigns.length > 0;
  fill($("totals"), [["sent", totals.sentCount], ["per second", totals.rate], ["delivered", totals.deliveredCount], ["opened", totals.openedCount], ["clicked", totals.clickedCount]],
    ([label, value], box) => { box.innerHTML = "<strong></strong><span></span>"; box.children[0].textContent = count(value); box.children[1].textContent = label; });
  const seen = new Set();
  campaigns.forEach((campaign, place) => {
    seen.add(campaign.id);
    if (!cards.has(campaign.id)) { cards.set(campaign.id, $("card").content.firstElementChild.cloneNode(true)); }
    const card = cards.get(campaign.id), there = $("campaigns").children[place];
    if (card !== there) $("campaigns").insertBefore(card, there ?? null);
    update(card, campaign);
  });
  for (const [id, card] of cards) if (!seen.has(id)) { card.remove(); cards.delete(id); }
}

function fill(parent, rows, write) {
  while (parent.children.length < rows.length) parent.append(document.createElement("div"));
  rows.forEach((row, index) => write(row, parent.children[index]));
}

function update(card, campaign) {
  const { stats, progress } = campaign;
  card.querySelector("h2").textContent = campaign.name;
  const badge = card.querySelector(".badge");
  badge.textContent = campaign.status; badge.className = `badge ${campaign.status}`;
  card.querySelector(".sub").textContent = `${campaign.channel} · ${count(stats.totalRecipients)} recipients`;
  const done = stats.sentCount + (stats.skippedCount ?? 0);
  const bar = card.querySelector("progress");
  bar.value = stats.totalRecipients ? done / stats.totalRecipients : campaign.status === "completed" ? 1 : 0;
  bar.setAttribute("aria-label", `${campaign.name}: ${count(done)} of ${count(stats.totalRecipients)} done`);
  const eta = progress.eta ? ` · done about ${clock(progress.eta)}` : "";
  card.querySelector(".progress-text").textContent = `${count(stats.sentCount)} sent${stats.acceptedCount ? `, ${count(stats.acceptedCount)} accepted` : ""}${stats.skippedCount ? `, ${count(stats.skippedCount)} skipped` : ""} · ${count(progress.rate)}/s${eta}`;
  const waiting = card.querySelector(".waiting");
  waiting.hidden = !campaign.waiting;
  if (campaign.waiting) waiting.textContent = (REASONS[campaign.waiting.reason] ?? campaign.waiting.reason) + (campaign.waiting.until ? ` until ${clock(campaign.waiting.until)}` : "");
  fill(card.querySelector(".funnel"), [["delivered", stats.deliveredCount, null], ["opened", stats.openedCount, stats.openRate], ["clicked", stats.clickedCount, stats.clickRate], ["bounced", stats.bouncedCount, stats.bounceRate]],
    ([label, value, rate], box) => {
      box.innerHTML = "<dt></dt><dd></dd>"; box.children[0].textContent = label; box.children[1].textContent = count(value);
      if (rate !== null) { const small = document.createElement("small"); small.textContent = `${rate.toFixed(2)} %`; box.children[1].append(small); }
    });
  const actions = card.querySelector(".actions"), verbs = VERBS[campaign.status] ?? [];
  if (actions.dataset.verbs !== verbs.join()) {
    actions.dataset.verbs = verbs.join();
    actions.replaceChildren(...verbs.map((verb) => {
      const button = document.createElement("button");
      button.type = "button"; button.textContent = verb[0].toUpperCase() + verb.slice(1);
      button.setAttribute("aria-label", `${button.textContent} ${campaign.name}`);
      button.onclick = () => act(campaign, verb);
      return button;
    }));
  }
}

const WARNINGS = {
  cancel: (c) => `Cancel “${c.name}”? ${count(c.stats.totalRecipients - c.stats.sentCount)} people will not get it. This cannot be undone.`,
  start: (c) => `Start “${c.name}” now?`,
};

async function act(campaign, verb) {
  if (WARNINGS[verb] && !confirm(WARNINGS[verb](campaign))) return;
  const answer = await api(`/api/v1/campaigns/${campaign.id}/${verb}`, { method: "POST" });
  if (!answer.ok) alert((await answer.json()).detail);
}

$("sign-in").onsubmit = (event) => { event.preventDefault(); signIn({ apiKey: $("api-key").value.trim() }); $("api-key").value = ""; };
$("sign-out").onclick = async () => {
  const answer = await api("/session", { method: "DELETE" });
  if (answer.ok) showSignIn(); else alert((await answer.json()).detail);
};

// The links of `campaigns up` and `campaigns sign-in` carry a code that works once behind #: a browser never sends that part to a server.
function takeLink() {
  const link = new URLSearchParams(location.hash.slice(1));
  if (location.hash) history.replaceState(null, "", "/");
  return link;
}

// A link signs nobody in unasked. Whoever has a key of this installation can make one, and one that was opened by a mail program arrives
// as one that a person has typed: no Referer, and Sec-Fetch-Site says none.
async function arrive() {
  const link = takeLink(), code = link.get("code"), session = await whoAmI();
  if (session) {
    open(session);
    if (code) tell(`This browser is signed in to ${session.data.tenantId} as ${session.data.role}, and the link was not used. To use it, sign out first and open it again.`);
  } else if (!code) {
    showSignIn(link.has("key") ? "Links with an API key sign nobody in any more: `campaigns sign-in` prints one that does." : "");
  } else {
    showSignIn();
    $("use-link").hidden = false; $("sign-in").hidden = true;
    $("use-link").onsubmit = (event) => { event.preventDefault(); signIn({ code }); };
  }
}

function tell(sentence) { $("notice").textContent = sentence; $("notice").hidden = false; }

// Who is signed in, as soon as anybody answers; null when nobody is.
async function whoAmI() {
  for (;;) {
    try {
      const answer = await fetch("/session");
      if (answer.ok) return await answer.json();
      if (answer.status === 401) return null;
    } catch { /* nobody answers: the same as a refusal that will pass */ }
    $("connection").textContent = "reconnecting…";
    await new Promise((done) => setTimeout(done, 2000));
  }
}

async function resume() {
  const session = await whoAmI();
  if (session) open(session); else showSignIn("The session is over; sign in again.");
}

// A link that is put into the address bar of an open page does not load the page again.
addEventListener("hashchange", arrive);
arrive();
