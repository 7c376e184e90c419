// What every page does: local times with their age, the gateway's pulse, the demo's countdown.
"use strict";
const words = JSON.parse(document.getElementById("words").textContent);
const locale = document.documentElement.lang;
const clockFace = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayFace = new Intl.DateTimeFormat(locale, { month: "short", day: "numeric" });
const wholeFace = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
const ageFace = new Intl.RelativeTimeFormat(locale, { numeric: "always", style: "short" });

function age(milliseconds) {
  const seconds = (Date.now() - milliseconds) / 1000;
  const size = Math.abs(seconds);
  if (size < 10) return words.just_now;
  for (const [unit, length, until] of [["second", 1, 90], ["minute", 60, 5400], ["hour", 3600, 129600], ["day", 86400, Infinity]]) {
    if (size < until) return ageFace.format(-Math.round(seconds / length), unit);
  }
}

function showTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(element.dateTime);
    const sameDay = moment.toDateString() === new Date().toDateString();
    const face = sameDay ? clockFace.format(moment) : `${dayFace.format(moment)} ${clockFace.format(moment)}`;
    const text = "age" in element.dataset ? `${face}${words.comma}${age(moment.getTime())}` : face;
    if (element.textContent !== text) element.textContent = text;
    element.title = wholeFace.format(moment);
  }
}

function showGateway(online) {
  const element = document.querySelector("[data-gateway]");
  element.classList.toggle("is-online", online);
  element.classList.toggle("is-away", !online);
  element.querySelector("use").setAttribute("href", element.querySelector("use").getAttribute("href")
    .replace(/#.*/, online ? "#plug-connected" : "#plug-connected-x"));
  element.querySelector("span").textContent = online ? words.online : words.away;
  element.setAttribute("aria-label", online ? words.online : words.away);
}

function showNews(orders) {
  const bar = document.querySelector("[data-news]");
  if (bar) bar.hidden = orders <= Number(bar.dataset.news);
}

function showDemo(demo) {
  const banner = document.querySelector("[data-demo]");
  const link = banner.querySelector("[data-demo-link]");
  banner.hidden = !demo;
  if (!demo) return;
  banner.dataset.faultAt = demo.fault_at;
  banner.dataset.order = demo.order ?? "";
  const tour = banner.querySelector("[data-tour]");
  if (tour) tour.hidden = tour.dataset.tour !== demo.order;
  link.hidden = !demo.order || location.pathname === `/orders/${demo.order}`;
  link.href = `/orders/${demo.order}`;
  tickDemo();
}

function tickDemo() {
  const banner = document.querySelector("[data-demo]");
  if (banner.hidden) return;
  const left = Math.ceil((Number(banner.dataset.faultAt) - Date.now()) / 1000);
  const text = banner.dataset.order ? `${words.order_open}${words.colon}${banner.dataset.order}`
    : left > 0 ? `${words.fault_in} ${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}` : words.fault_now;
  banner.querySelector("[data-demo-text]").textContent = text;
}

async function pulse() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/api/pulse");
    if (answer.status === 401) location.reload(); // signed out meanwhile: to the door
    const news = await answer.json();
    showGateway(news.online);
    showNews(news.orders);
    showDemo(news.demo);
  } catch {
    showGateway(false);
  }
}

addEventListener("DOMContentLoaded", () => {
  showTimes(document);
  document.addEventListener("htmx:afterSwap", (event) => showTimes(event.target));
  if (!document.querySelector("[data-gateway]")) return; // at the door
  pulse();
  setInterval(pulse, 5000);
  setInterval(tickDemo, 1000);
  setInterval(() => showTimes(document), 20000);
  document.addEventListener("visibilitychange", pulse);
});
