// Draws the Vega-Lite plots of a page, in the page's own colours, and again when these change.
"use strict";
(() => {
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const isDark = () => document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const config = () => ({
    background: null,
    font: "system-ui, sans-serif",
    axis: { labelColor: colour("--ink"), titleColor: colour("--ink"), gridColor: colour("--line"), domainColor: colour("--quiet"), tickColor: colour("--quiet"), labelFontSize: 12, titleFontSize: 12 },
    legend: { labelColor: colour("--ink"), titleColor: colour("--ink"), labelLimit: 260, labelFontSize: 12 },
    text: { color: colour("--ink"), fontSize: 12 },
    line: { color: colour("--quiet") },
    view: { stroke: colour("--line") },
    range: { category: [colour("--mark"), colour("--warn"), colour("--link"), colour("--down"), colour("--quiet")] },
  });
  const draw = async place => {
    const spec = JSON.parse(document.getElementById(place.dataset.spec).textContent);
    const options = { renderer: "svg", actions: { export: true, source: false, compiled: false, editor: false }, config: config(), tooltip: { theme: isDark() ? "dark" : "light" } };
    const done = await vegaEmbed(place, spec, options);
    const svg = place.querySelector("svg");
    if (svg) { svg.setAttribute("role", "img"); svg.setAttribute("aria-label", spec.description); }
    const menu = place.querySelector("summary");
    if (menu) menu.setAttribute("aria-label", "Save the plot");
    place.dataset.drawn = "yes";
    return done;
  };
  const all = () => { for (const place of document.querySelectorAll(".plot[data-spec]")) draw(place).catch(error => { place.dataset.drawn = "no"; place.textContent = `The plot could not be drawn: ${error.message}`; }); };
  all();
  document.addEventListener("theme", all);
})();
