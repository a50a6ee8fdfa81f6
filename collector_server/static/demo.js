"use strict";
// The pretend app, and the list of what arrived. Contents are shown as text alone.
const KEY = "{key}";
const INGEST = "{ingest}";
const WORDS = {
  ko: {
    rrn: "주민등록번호", card: "카드번호", phone: "전화번호", email: "이메일", account: "계좌번호",
    device: (what) => `[${what}] 기기에서 가림`, server: (what) => `[${what}] 서버가 첫 기록 전에 가림`,
    rejected: (code, field) => `거절: ${code} (${field})`, live: "1초마다 스풀 파일을 읽습니다. 같은 것이 곧 clean.events에 나타납니다.", away: "서버에 닿지 않습니다.",
  },
  en: {
    rrn: "resident number", card: "card number", phone: "phone number", email: "e-mail address", account: "account number",
    device: (what) => `[${what}] masked on the device`, server: (what) => `[${what}] masked by the server, before the first write`,
    rejected: (code, field) => `rejected: ${code} (${field})`, live: "The spool's files are read every second. The same is in clean.events moments later.", away: "The server cannot be reached.",
  },
};
const find = (selector) => document.querySelector(selector);
const words = () => WORDS[document.documentElement.lang];

function speak(language) {
  document.documentElement.lang = language;
  for (const text of document.querySelectorAll("span[lang]")) text.hidden = text.lang !== language;
  find("#state").textContent = words().live;
}

function show() {
  const name = location.hash.slice(2) || "home";
  for (const view of document.querySelectorAll("[data-view]")) view.hidden = view.dataset.view !== name;
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = link.hash === `#/${name}`;
    link.classList.toggle("here", isHere);
    if (isHere) {
      document.title = link.dataset.title;
      document.body.dataset.sillokPageCode = link.dataset.code;
    }
  }
}

function post(event) {
  // What an app without our SDK might send.
  fetch(`${INGEST}/v1/events?key=${KEY}`, { method: "POST", body: JSON.stringify({ events: [event] }) });
}

const uuid = () => URL.createObjectURL(new Blob()).slice(-36);
let step = 0;

function wire() {
  find("#notice-open").onclick = () => { find("#notice").hidden = false; };
  find("#notice-close").onclick = () => { find("#notice").hidden = true; };
  find("#error").onclick = () => { throw new RangeError("주문 한도 초과"); };
  find("#typed").onclick = () => post({ event_id: uuid(), time: Date.now(), event_type: "search", search_text: "주민번호 900101-1234567" });
  find("#wrong").onclick = () => post({ event_id: uuid(), time: "어제", event_type: "click" });
  find("#login").onclick = () => window.sillok?.identify("demo-customer");
  find("#logout").onclick = () => window.sillok?.reset();
  find("#search").onsubmit = (event) => {
    event.preventDefault();
    window.sillok?.search({ search_text: event.target.querySelector("input").value });
  };
  find("#next").onclick = () => {
    const steps = [...document.querySelectorAll("#steps li")];
    step = (step % steps.length) + 1;
    steps.forEach((item, i) => item.classList.toggle("here", i === step - 1));
    window.sillok?.step({ flow_name: "account_opening", step_position: step, step_name: steps[step - 1].textContent });
  };
  for (const button of document.querySelectorAll("[data-language]")) button.onclick = () => speak(button.dataset.language);
  addEventListener("hashchange", show);
}

function reasons(entry) {
  if (entry.rejected) return [[words().rejected(entry.rejected.code, entry.rejected.field), true]];
  const text = JSON.stringify(entry.event);
  const isServers = (entry.event.flags || []).includes("masked");
  return Object.keys(WORDS.ko)
    .filter((kind) => text.includes(`[${kind}]`))
    .map((kind) => [words()[isServers ? "server" : "device"](words()[kind]), false]);
}

function row(entry) {
  const item = document.createElement("li");
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const event = entry.event || {};
  const told = event.click_text || event.tab_name || event.popup_name || event.step_name || event.search_text ||
    event.checkbox_name || event.error_message || event.event_name || event.customer_id || event.page_name || "";
  const add = (tag, text) => summary.appendChild(Object.assign(document.createElement(tag), { textContent: text }));
  add("time", new Date(entry.received_at_us / 1000).toTimeString().slice(0, 8));
  add("b", event.event_type || "—");
  const what = add("span", told + (event.page_code ? `  · ${event.page_code}` : ""));
  for (const [why, isBad] of reasons(entry)) {
    what.append(document.createElement("br"));
    what.appendChild(Object.assign(document.createElement("span"), { textContent: why, className: isBad ? "why bad" : "why" }));
  }
  details.append(summary, Object.assign(document.createElement("pre"), { textContent: JSON.stringify(entry.rejected || event, null, 2) }));
  item.append(details);
  return item;
}

// Only what arrives from now on.
let after = 0;
let count = 0;

async function look() {
  try {
    const answer = await fetch(`/demo/events?after=${after}`);
    for (const entry of await answer.json()) {
      after = Math.max(after, entry.received_at_us);
      find("#list").prepend(row(entry));
      find("#count").textContent = String(++count);
      while (find("#list").children.length > 100) find("#list").lastChild.remove();
    }
    find("#state").textContent = words().live;
  } catch {
    find("#state").textContent = words().away;
  }
  setTimeout(look, 1000);
}

speak(navigator.language.startsWith("ko") ? "ko" : "en");
wire();
show();
look();
