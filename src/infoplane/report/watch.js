"use strict";
// In the served copy of a page alone: reload it when a newer one is there, and keep what the reader has chosen.
(() => {
  const { seen, every } = JSON.parse(document.getElementById("watch").textContent);
  const kept = "infoplane-watch";
  const controls = () => [...document.querySelectorAll("select, input, details")];

  // Two versions of a page have the same controls, but not at the same places.
  function name(control) {
    if (control.id) return `#${control.id}`;
    const near = control.parentElement.closest("[id]");
    const own = control.tagName === "DETAILS" ? control.querySelector("summary")?.textContent : control.value;
    return `${control.tagName} ${near ? near.id : ""} ${own}`;
  }

  function state(control) {
    if (control.tagName === "DETAILS") return control.open;
    if (control.type === "checkbox" || control.type === "radio") return control.checked;
    if (control.type === "range" && control.value === control.max) return "last"; // follows the newest epoch
    return control.value;
  }

  function set(control, value) {
    if (value === undefined || value === state(control)) return;
    if (control.tagName === "DETAILS") {
      control.open = value;
      return;
    }
    if (control.type === "checkbox" || control.type === "radio") control.checked = value;
    else if (control.tagName === "SELECT" && ![...control.options].some((option) => option.value === value)) return;
    else control.value = value === "last" ? control.max : value;
    control.dispatchEvent(new Event("input", { bubbles: true }));
    control.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function save() {
    const above = [...document.querySelectorAll("section[id]")].filter((one) => one.getBoundingClientRect().top <= 1);
    const section = above.at(-1);
    sessionStorage.setItem(kept, JSON.stringify({
      section: section ? section.id : null,
      offset: section ? -section.getBoundingClientRect().top : scrollY,
      focus: document.activeElement?.id || null,
      controls: Object.fromEntries(controls().map((control) => [name(control), state(control)])),
    }));
  }

  function restore() {
    const before = JSON.parse(sessionStorage.getItem(kept) || "null");
    if (!before) return;
    sessionStorage.removeItem(kept);
    for (const control of controls()) set(control, before.controls[name(control)]);
    if (before.focus) document.getElementById(before.focus)?.focus({ preventScroll: true });
    const section = before.section && document.getElementById(before.section);
    const top = section ? section.getBoundingClientRect().top + scrollY : 0;
    scrollTo({ top: top + before.offset, behavior: "instant" });
  }

  const status = document.createElement("p");
  status.id = "watch-status";
  status.setAttribute("role", "status");
  status.style.cssText = "position:fixed;right:.6rem;bottom:.4rem;margin:0;padding:.1rem .6rem;border-radius:6px;" +
    "font-size:.8rem;background:var(--wash,#eee);color:var(--soft,#555);border:1px solid var(--line,#ccc);z-index:4";
  document.body.append(status);
  const style = document.createElement("style");
  style.textContent = "@media print { #watch-status { display: none } }";
  document.head.append(style);
  const say = (text) => { if (status.textContent !== text) status.textContent = text; };

  let pressed = false; // a slider that is being moved must not vanish
  addEventListener("pointerdown", () => { pressed = true; });
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { pressed = false; });
  const busy = () => pressed || document.querySelector("#play[aria-pressed=true], dialog[open]") !== null;

  async function look() {
    try {
      const answer = await fetch("/state", { cache: "no-store" });
      const { page, said } = await answer.json();
      if (page !== seen && !busy()) {
        save();
        location.reload();
        return;
      }
      say(said);
    } catch {
      say("infoplane watch has ended: this page is not refreshed any more");
    }
    setTimeout(look, every);
  }

  history.scrollRestoration = "manual";
  const begin = () => requestAnimationFrame(() => { restore(); look(); });
  if (document.readyState === "complete") begin();
  else addEventListener("load", begin);
})();
