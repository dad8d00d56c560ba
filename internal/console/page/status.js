// Refreshes the status in place and makes the control calls. Everything that it shows was rendered, and escaped, by the
// server, or is set as text.
"use strict";

const every = 2000; // ms between two refreshes
const live = document.getElementById("live");
const said = document.getElementById("said");
const offline = document.getElementById("offline");
const ask = document.getElementById("ask");
const token = document.getElementById("token");
let lastAnswer = new Date();

document.getElementById("fresh").textContent = "refreshed every 2 s";
if (token) {
  token.value = sessionStorage.getItem("token") || "";
  token.addEventListener("change", () => sessionStorage.setItem("token", token.value));
  document.getElementById("auth").addEventListener("submit", (event) => event.preventDefault());
}

// busy says that the reader is at something that a replaced page would disturb.
function busy() {
  const selection = document.getSelection();
  return document.hidden || ask.open || (selection && !selection.isCollapsed && live.contains(selection.anchorNode));
}

async function refresh() {
  if (busy()) return;
  try {
    const response = await fetch("/", {cache: "no-store", signal: AbortSignal.timeout(10000)});
    if (!response.ok) throw new Error(`the daemon answers ${response.status}`);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const next = page.getElementById("live");
    if (!next) throw new Error("the answer is no status page");
    lastAnswer = new Date();
    offline.hidden = true;
    if (busy()) return;
    show(page, next);
  } catch (error) {
    const text = `No answer since ${lastAnswer.toLocaleTimeString()}: what is shown is old. (${error.message})`;
    if (offline.textContent !== text) offline.textContent = text;
    offline.hidden = false;
  }
}

// show replaces what is shown and leaves the focus where it was.
function show(page, next) {
  const focused = live.contains(document.activeElement) ? document.activeElement.id : "";
  const before = document.getElementById("overall")?.textContent;
  live.replaceChildren(...next.childNodes);
  document.title = page.title;
  if (focused && focused !== "live") document.getElementById(focused)?.focus({preventScroll: true});
  const after = document.getElementById("overall")?.textContent;
  if (before !== after && after) document.getElementById("news").textContent = after;
}

// tell says something in words that a screen reader announces.
function tell(text, failed) {
  said.classList.toggle("error", failed);
  said.textContent = text;
}

const meanings = {
  "pause replicate": "It stops reading the source, and what it has read is flushed to the stream. It stays paused until somebody resumes it, also after a restart. Mind how long the source keeps its binlog.",
  "pause deliver": "It stops reading the stream and stores what it has read. It stays paused until somebody resumes it, also after a restart. Mind the stream's retention.",
  "resume replicate": "It goes on where it was paused.",
  "resume deliver": "It goes on where it was paused.",
  "reload-table": "All rows of the table are sent again while everything else streams, announced by drop-table in every shard.",
};

function confirmed(question, meaning) {
  document.getElementById("question").textContent = question;
  document.getElementById("meaning").textContent = meaning;
  ask.returnValue = "";
  ask.showModal();
  return new Promise((resolve) => ask.addEventListener("close", () => resolve(ask.returnValue === "yes"), {once: true}));
}

async function control(button) {
  const {action, half, table} = button.dataset;
  const what = half || table;
  const question = action === "reload-table" ? `Reload ${table}?` : `${action === "pause" ? "Pause" : "Resume"} ${half}?`;
  const id = button.id;
  const yes = await confirmed(question, meanings[half ? `${action} ${half}` : action]);
  document.getElementById(id)?.focus();
  if (!yes) return;
  tell(`Asking for ${action} of ${what} …`, false);
  const headers = {"Content-Type": "application/json"};
  if (token && token.value) headers.Authorization = `Bearer ${token.value}`;
  try {
    const response = await fetch(`/api/${action}`, {
      method: "POST", headers, body: JSON.stringify(half ? {half} : {table}), signal: AbortSignal.timeout(60000),
    });
    const answer = await response.json();
    tell(answer.error || answer.result, !response.ok);
    if (response.status === 401 && token) token.focus();
  } catch (error) {
    tell(`${action} of ${what} failed: ${error.message}`, true);
  }
  await refresh();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-action]");
  if (button) control(button);
});
document.addEventListener("visibilitychange", refresh);
setInterval(refresh, every);
