// The theme, and the filters over a table. Tables are whole without this: it only hides rows.
"use strict";
(() => {
  const root = document.documentElement;
  const remembered = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const remember = theme => { try { localStorage.setItem("theme", theme); } catch { /* a page from disk may not */ } };
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  if (["dark", "light"].includes(remembered())) root.dataset.theme = remembered();

  const tell = button => { button.textContent = isDark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"}`); };
  const button = document.getElementById("theme");
  if (button) {
    button.hidden = false;
    tell(button);
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      remember(root.dataset.theme);
      tell(button);
      document.dispatchEvent(new Event("theme"));
    });
  }

  for (const form of document.querySelectorAll("form.filters")) {
    const table = document.getElementById(form.dataset.table), count = form.querySelector("output");
    const rows = () => [...table.tBodies[0].rows];
    for (const select of form.querySelectorAll("select")) {
      const values = new Set(rows().map(row => row.dataset[select.name]).filter(Boolean));
      for (const value of [...values].sort()) select.add(new Option(value, value));
      select.closest("label").hidden = values.size < 2;
    }
    const texts = new WeakMap();
    const textOf = row => { if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase()); return texts.get(row); };
    const filter = () => {
      const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
      const facets = [...form.querySelectorAll("select")].filter(select => select.value);
      let shown = 0;
      for (const row of rows()) {
        const fits = words.every(word => textOf(row).includes(word)) && facets.every(one => row.dataset[one.name] === one.value);
        row.hidden = !fits;
        shown += fits;
      }
      count.textContent = `${shown} of ${rows().length} rows`;
    };
    form.hidden = false;
    form.addEventListener("input", filter);
    form.addEventListener("submit", event => event.preventDefault());
    filter();
  }
})();
