// Drives Chromium over the status page: one JSON command a line on standard input, one JSON answer a line on standard
// output. Whatever a page does that it must not is kept and told at the end.
"use strict";

const {chromium} = require("playwright-core");
const axe = require("axe-core").source;
const readline = require("node:readline");

const [url, folder] = process.argv.slice(2);
const origin = new URL(url).origin;
const kinds = {
  light: {viewport: {width: 1280, height: 900}, colorScheme: "light"},
  dark: {viewport: {width: 1280, height: 900}, colorScheme: "dark"},
  phone: {viewport: {width: 390, height: 844}, colorScheme: "light", isMobile: true, hasTouch: true, deviceScaleFactor: 2},
};
const faults = [];
const contexts = {}, pages = {};

async function open(browser) {
  for (const [kind, options] of Object.entries(kinds)) {
    const context = contexts[kind] = await browser.newContext(options);
    const page = pages[kind] = await context.newPage();
    page.on("console", (m) => { if (["error", "warning"].includes(m.type())) faults.push(`${kind}: console: ${m.text()}`); });
    page.on("pageerror", (e) => faults.push(`${kind}: ${e}`));
    page.on("dialog", (d) => { faults.push(`${kind}: a dialog says ${d.message()}`); d.dismiss(); });
    page.on("request", (r) => { if (new URL(r.url()).origin !== origin) faults.push(`${kind}: asks for ${r.url()}`); });
    await page.goto(url);
  }
}

// shots keeps what all kinds of screen show, and looks whether everybody can use it.
async function shots({name}) {
  const found = await Promise.all(Object.entries(pages).map(([kind, page]) => shot(name, kind, page)));
  return found.flat();
}

async function shot(name, kind, page) {
  const found = [];
  await page.reload();
  await page.screenshot({path: `${folder}/${name}-${kind}.png`, fullPage: true});
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) found.push(`${kind}: ${wide} pixels wider than the screen`);
  await page.evaluate(axe);
  const result = await page.evaluate(() => axe.run(document, {resultTypes: ["violations"]}));
  for (const v of result.violations) {
    if (["serious", "critical"].includes(v.impact)) found.push(`${kind}: ${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html).join(" ")}`);
  }
  return found;
}

// wait waits until a page, without being reloaded, shows a text.
async function wait({text, within}) {
  try {
    await pages.light.waitForFunction((t) => document.body.innerText.includes(t), text, {timeout: within || 30000, polling: 100});
  } catch {
    throw new Error(`the page does not come to say ${JSON.stringify(text)}; it says ${await pages.light.evaluate(() => document.body.innerText)}`);
  }
}

// key works by keyboard alone: to the element with the id, and through the question that it asks.
async function key({id, answer, says}) {
  const page = pages.light;
  await tabTo(page, id);
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.getElementById("ask").open);
  const focused = await page.evaluate(() => document.activeElement.textContent);
  if (focused !== "Cancel") throw new Error(`the question has its focus on ${focused}`);
  if (answer === "escape") {
    await page.keyboard.press("Escape");
  } else {
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
  }
  await page.waitForFunction(() => !document.getElementById("ask").open);
  if (says) await page.waitForFunction((t) => document.getElementById("said").textContent.includes(t), says, {timeout: 30000});
  await page.waitForFunction((i) => document.activeElement.id === i, id); // the focus is where it was
}

async function type({id, text}) {
  await tabTo(pages.light, id);
  await pages.light.keyboard.type(text);
  await pages.light.keyboard.press("Tab");
}

async function tabTo(page, id) {
  for (let i = 0; i < 300; i++) {
    if (await page.evaluate(() => document.activeElement.id) === id) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`the Tab key does not come to ${id}`);
}

// keepsFocus says whether an element keeps the focus while the page refreshes itself.
async function keepsFocus({id}) {
  const page = pages.light;
  await tabTo(page, id);
  const before = await page.evaluate(() => { const t = document.querySelector("#time time"); window.drawn = t; return t.textContent; });
  await page.waitForFunction((b) => document.querySelector("#time time") !== window.drawn && document.querySelector("#time time").textContent !== b, before);
  const now = await page.evaluate(() => document.activeElement.id);
  if (now !== id) throw new Error(`after a refresh the focus is on ${now || "nothing"}`);
}

// gone says what a page shows that gets no answers. The browser's own complaints are no faults of the page.
async function gone() {
  const known = faults.length;
  await contexts.light.setOffline(true);
  await wait({text: "what is shown is old"});
  await pages.light.screenshot({path: `${folder}/no-answer-light.png`, fullPage: true});
  await contexts.light.setOffline(false);
  await pages.light.waitForFunction(() => document.getElementById("offline").hidden);
  faults.splice(known, faults.length, ...faults.slice(known).filter((f) => !f.includes("ERR_INTERNET_DISCONNECTED")));
}

const commands = {shots, wait, key, type, keepsFocus, gone, end: async () => faults};

(async () => {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM, args: process.getuid() === 0 ? ["--no-sandbox"] : [],
  });
  await open(browser);
  for await (const line of readline.createInterface({input: process.stdin})) {
    const command = JSON.parse(line);
    try {
      console.log(JSON.stringify({result: await commands[command.do](command) || []}));
    } catch (error) {
      await pages.light.screenshot({path: `${folder}/failed-light.png`, fullPage: true}).catch(() => {});
      console.log(JSON.stringify({error: String(error)}));
    }
  }
  await browser.close();
})().catch((error) => { console.log(JSON.stringify({error: String(error)})); process.exit(1); });
