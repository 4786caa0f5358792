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

  async function saveTable(button) {
    const packed = new Blob([bytesOf(document.getElementById(button.dataset.table).textContent.trim())]);
    if (!button.dataset.gzip) return save(button.dataset.name, packed);
    const text = packed.stream().pipeThrough(new DecompressionStream("gzip"));
    return save(button.dataset.name, await new Response(text).blob());
  }

  function saveFigure(button) {
    const source = button.closest("figure").querySelector("img").src, comma = source.indexOf(",");
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

  for (const button of document.querySelectorAll("button.enlarge")) {
    const image = button.closest("figure").querySelector("img");
    button.addEventListener("click", () => enlarge(image));
    image.addEventListener("click", () => enlarge(image));
  }
  for (const button of document.querySelectorAll("figure button.save")) button.addEventListener("click", () => saveFigure(button));
  for (const button of document.querySelectorAll("button[data-table]")) button.addEventListener("click", () => saveTable(button));
})();
