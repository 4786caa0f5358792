"use strict";
(() => {
  // Buttons of figures and tables: enlarge, save.
  function save(name, blob) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }
  const bytesOf = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

  const unpacked = (bytes) => new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).blob();
  const images = new WeakMap(); // of figures that the page holds compressed

  async function unpack(image) {
    const content = await unpacked(bytesOf(image.dataset.packed));
    images.set(image, new Blob([content], { type: image.dataset.type }));
    image.src = URL.createObjectURL(images.get(image));
    delete image.dataset.packed;
  }

  async function saveTable(button) {
    const bytes = bytesOf(document.getElementById(button.dataset.table).textContent.trim());
    save(button.dataset.name, button.dataset.gzip ? await unpacked(bytes) : new Blob([bytes]));
  }

  function saveFigure(button) {
    const image = button.closest("figure").querySelector("img");
    if (images.has(image)) return save(button.dataset.name, images.get(image));
    const source = image.src, comma = source.indexOf(",");
    const head = source.slice("data:".length, comma), content = source.slice(comma + 1);
    const bytes = head.endsWith(";base64") ? bytesOf(content) : decodeURIComponent(content);
    save(button.dataset.name, new Blob([bytes], { type: head.split(";")[0] }));
  }

  function enlarge(image) {
    const dialog = document.createElement("dialog"), close = document.createElement("button"), large = image.cloneNode();
    dialog.className = "viewer";
    dialog.setAttribute("aria-label", image.alt);
    close.textContent = "Close";
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    const frame = document.createElement("div");
    frame.className = "large";
    frame.tabIndex = 0;
    frame.append(large);
    dialog.append(close, frame);
    document.body.append(dialog);
    dialog.showModal();
  }

  for (const image of document.querySelectorAll("img[data-packed]")) unpack(image);
  for (const button of document.querySelectorAll("button.enlarge")) {
    const image = button.closest("figure").querySelector("img");
    button.addEventListener("click", () => enlarge(image));
    image.addEventListener("click", () => enlarge(image));
  }
  for (const button of document.querySelectorAll("button[data-svg]")) {
    button.addEventListener("click", () => save(button.dataset.name, new Blob([bytesOf(button.dataset.svg)], { type: "image/svg+xml" })));
  }
  for (const button of document.querySelectorAll("figure button.save")) button.addEventListener("click", () => saveFigure(button));
  for (const button of document.querySelectorAll("button[data-table]")) button.addEventListener("click", () => saveTable(button));
})();
