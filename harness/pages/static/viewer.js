// The frame viewer: a photograph, and over it the masks of a run, the truth, or where the two differ.
"use strict";
(() => {
  const viewer = document.getElementById("viewer");
  if (!viewer) return;
  const told = JSON.parse(document.getElementById("footage").textContent);
  const pick = name => viewer.querySelector(name);
  const frame = pick("input[name=frame]"), strength = pick("input[name=strength]"), swipe = pick("input[name=swipe]");
  const run = pick("select[name=run]"), play = pick("button[name=play]"), worst = pick(".worst"), output = pick("output");
  const photo = pick(".photo"), over = pick(".over"), under = pick(".under"), knife = pick(".knife");
  const modes = [...viewer.querySelectorAll("button[data-mode]")];
  let mode = "prediction", timer = 0;

  const put = (image, path) => { image.hidden = !path; if (path && image.getAttribute("src") !== path) image.src = path; };
  const per = value => value === undefined ? "–" : (100 * value).toFixed(1);
  const describe = at => {
    const scores = told.runs[+run.value].scores[at];
    const figures = scores ? Object.entries(scores).map(([name, value]) => `${name} ${per(value)}`).join(", ") : "not scored";
    return `Frame ${at} of ${told.frames.length - 1} (${told.names[at] ?? at}): ${figures}`;
  };
  const layers = at => {
    const here = told.frames[at], mask = here.masks[+run.value] ?? "", truth = here.truth;
    return { prediction: [mask, ""], truth: [truth, ""], difference: [here.differences[+run.value] ?? "", ""], swipe: [mask, truth], frame: ["", ""] }[mode];
  };
  const show = () => {
    const at = +frame.value, [top, below] = layers(at);
    put(photo, told.frames[at].image);
    put(over, top);
    put(under, below);
    const cut = mode === "swipe" ? +swipe.value : 100;
    over.style.clipPath = mode === "swipe" ? `inset(0 ${100 - cut}% 0 0)` : "";
    under.style.clipPath = mode === "swipe" ? `inset(0 0 0 ${cut}%)` : "";
    knife.hidden = mode !== "swipe";
    knife.style.left = `${cut}%`;
    over.style.opacity = under.style.opacity = strength.value / 100;
    swipe.parentElement.hidden = mode !== "swipe";
    pick("[data-legend]").hidden = mode !== "difference";
    for (const button of modes) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    output.textContent = describe(at);
    photo.alt = `Frame ${at}`;
    over.alt = { prediction: "the masks of the run", truth: "the truth", difference: "where the two differ", swipe: "the masks of the run", frame: "" }[mode];
    under.alt = mode === "swipe" ? "the truth" : "";
    const next = told.frames[at + 1];
    if (next) for (const path of [next.image, next.masks[+run.value]]) if (path) new Image().src = path;
  };
  const listWorst = () => {
    worst.replaceChildren(...told.runs[+run.value].worst.map(at => {
      const item = document.createElement("li"), button = document.createElement("button");
      const scores = told.runs[+run.value].scores[at];
      button.type = "button";
      button.textContent = `${at}: ${Object.values(scores).map(per).join(" / ")}`;
      button.setAttribute("aria-label", describe(at));
      button.addEventListener("click", () => { frame.value = at; show(); });
      item.append(button);
      return item;
    }));
  };
  const step = by => { frame.value = Math.min(told.frames.length - 1, Math.max(0, +frame.value + by)); show(); };
  const stop = () => { clearInterval(timer); timer = 0; play.setAttribute("aria-pressed", "false"); play.textContent = "Play"; };
  const toggle = () => {
    if (timer) return stop();
    if (+frame.value >= told.frames.length - 1) frame.value = 0;
    play.setAttribute("aria-pressed", "true");
    play.textContent = "Stop";
    timer = setInterval(() => { if (+frame.value >= told.frames.length - 1) stop(); else step(1); }, 100);
  };
  const choose = name => { const button = modes.find(one => one.dataset.mode === name); if (button && !button.hidden) { mode = name; show(); } };

  for (const button of modes) button.addEventListener("click", () => choose(button.dataset.mode));
  for (const button of viewer.querySelectorAll("button[data-step]")) button.addEventListener("click", () => step(+button.dataset.step));
  for (const input of [frame, strength, swipe]) input.addEventListener("input", show);
  run.addEventListener("change", () => { listWorst(); show(); });
  play.addEventListener("click", toggle);
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.altKey || event.metaKey || /^(input|select|textarea)$/i.test(event.target.tagName)) return;
    const keys = { p: "prediction", t: "truth", d: "difference", s: "swipe", f: "frame" };
    if (keys[event.key.toLowerCase()]) choose(keys[event.key.toLowerCase()]);
    else if (event.key === "ArrowRight") step(1);
    else if (event.key === "ArrowLeft") step(-1);
    else if (event.key === " " && !/^(button|summary|a)$/i.test(event.target.tagName)) { event.preventDefault(); toggle(); }
  });
  frame.value = told.runs[0].worst[0] ?? 0;
  viewer.hidden = false;
  listWorst();
  show();
})();
