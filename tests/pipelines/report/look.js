// node look.js PAGE: what a browser sees of a report, as JSON, for test_browser.py.
const fs = require("fs");
const { chromium } = require("playwright-core");

async function look(browser, page, scheme, width) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme, bypassCSP: true });
  const tab = await context.newPage();
  const errors = [], requests = [];
  tab.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  tab.on("pageerror", (error) => errors.push(String(error)));
  tab.on("request", (request) => request.url() !== page && requests.push(request.url()));
  await tab.goto(page);
  const wide = await tab.evaluate(() =>
    [...document.querySelectorAll("body *")]
      .filter((e) => e.getBoundingClientRect().width && !e.matches(".skip") && !e.closest("svg"))
      .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 || (e.matches(".scroll") && e.scrollWidth > e.clientWidth + 1))
      .map((e) => `${e.tagName} ${e.className} ${e.textContent.slice(0, 40)}`));
  const folded = await tab.evaluate(() => document.querySelectorAll("details:not([open])").length);
  await tab.emulateMedia({ media: "print", colorScheme: scheme });
  const printed = await tab.evaluate(() =>
    [...document.querySelectorAll("details:not([open])")].filter((e) => [...e.children].every((c) => c.checkVisibility())).length);
  await tab.emulateMedia({ media: "screen", colorScheme: scheme });
  await tab.evaluate(() => document.querySelectorAll("details").forEach((e) => (e.open = true)));
  await tab.evaluate(fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
  const found = await tab.evaluate(() => axe.run(document));
  const faults = found.violations.map((fault) => `${fault.id}: ${fault.nodes[0].html.slice(0, 120)}`);
  await context.close();
  return { scheme, width, errors, requests, wide, folded, printed, faults };
}

(async () => {
  const browser = await chromium.launch({ executablePath: process.env.HEADRACE_CHROMIUM, args: ["--no-sandbox"] });
  const seen = [];
  for (const scheme of ["light", "dark"])
    for (const width of [390, 820, 1440]) seen.push(await look(browser, `file://${process.argv[2]}`, scheme, width));
  await browser.close();
  console.log(JSON.stringify(seen));
})();
