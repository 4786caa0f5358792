"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f"];
  const DASHES = ["solid", "dash", "dot", "dashdot"];
  const SHAPES = ["circle", "square", "diamond", "triangle-up"];
  // Behind a training's shape: original examples, then attack after attack. Triangles have no crossed form.
  const MARKS = [["", "filled marker"], ["-x-open", "marker with an x"], ["-cross-open", "marker with a plus"],
    ["-open", "open marker"], ["-open-dot", "open marker with a dot"], ["-dot", "marker with a dot"]];
  const TRIANGLES = ["", "-open", "-open-dot", "-dot"];
  function symbol(training, rank) {
    const shape = SHAPES[training % SHAPES.length];
    return shape + (shape.startsWith("triangle") ? TRIANGLES[rank % TRIANGLES.length] : MARKS[rank % MARKS.length][0]);
  }
  const colour = (layer) => COLOURS[layer % COLOURS.length];
  // Plotly reads labels as markup; names come from the user's model.
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const at = (column, k) => (Array.isArray(column) ? column[k] : column); // a constant column is sent once
  const clip = (value, ceiling) => Math.max(0, ceiling === null ? value : Math.min(value, ceiling));
  const number = (value) => (value === null || value === undefined ? "–" : value.toFixed(2).replace("-0.00", "0.00"));

  function layout(extra) {
    const ink = variable("--ink"), line = variable("--line");
    const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true };
    const { xaxis, yaxis, ...rest } = extra;
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: 13, family: "system-ui, sans-serif" },
      margin: { l: 56, r: 16, t: 30, b: 48 }, hoverlabel: { align: "left" },
      // Without these, the bar of buttons is half of a black that the transparent paper stands for.
      modebar: { bgcolor: "rgba(0,0,0,0)", color: variable("--soft"), activecolor: ink },
      xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...rest,
    };
  }
  // The library's button "Share chart" would send a chart to a server of others.
  const removed = ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"];
  const config = { displaylogo: false, responsive: true, plotlyServerURL: "", modeBarButtonsToRemove: removed };

  // controls

  function addOptions(select, values, label) {
    for (const value of values) {
      const option = document.createElement("option");
      option.value = value;
      option.textContent = label(value);
      select.append(option);
    }
  }

  function addChecks(fieldset, values, label, checked, swatch) {
    values.forEach((value, i) => {
      const box = document.createElement("input");
      box.type = "checkbox";
      box.value = value;
      box.checked = checked(value, i);
      const holder = document.createElement("label");
      holder.append(box);
      if (swatch) {
        const dot = document.createElement("span");
        dot.className = "swatch";
        dot.style.background = swatch(i);
        holder.append(dot);
      }
      holder.append(label(value));
      fieldset.append(holder);
    });
  }

  const chosen = (fieldset) => new Set([...fieldset.querySelectorAll("input:checked")].map((box) => box.value));
  const epochs = data.epochs;

  function setUp() {
    addOptions($("seed"), data.seeds, (seed) => seed);
    $("seed-field").hidden = data.seeds.length < 2;
    if ($("seed-field").hidden) $("seed-field").style.display = "none";
    addOptions($("split"), data.splits, (split) => split);
    $("split-field").hidden = data.splits.length < 2;
    if ($("split-field").hidden) $("split-field").style.display = "none";
    addOptions($("estimator"), data.estimators, (name) => data.labels[name] || name);
    addChecks($("trainings"), data.trainings, (name) => name, () => true);
    addChecks($("examples"), data.examples, (name) => name, (_, i) => i === 0);
    addChecks($("layers"), data.layers.map((_, i) => String(i)), (i) => data.layers[i], () => true, colour);
    $("epoch").max = Math.max(0, epochs.length - 1);
    $("epoch").value = $("epoch").max;
    $("epoch").disabled = $("play").disabled = epochs.length < 2;
  }

  function visibleSeries() {
    const trainings = chosen($("trainings")), examples = chosen($("examples")), layers = chosen($("layers"));
    return data.series.filter((one) =>
      String(one.seed) === $("seed").value && one.split === $("split").value && one.estimator === $("estimator").value && trainings.has(one.training) &&
      examples.has(one.examples) && layers.has(String(one.layer)));
  }

  // information plane

  function values(one, k) {
    const x = one.x[k], y = one.y[k], cx = at(one.cx, k), cy = at(one.cy, k);
    return { x, y, cx, cy, dx: at(one.dx, k), dy: at(one.dy, k), q: at(one.q, k), sx: one.sx[k] === "1", sy: one.sy[k] === "1",
      few: one.f[k] === "1", nulled: one.n[k] === "1", drawnX: clip(x, cx), drawnY: clip(y, cy) };
  }

  // No interval passes the ceiling of its estimate.
  const bar = (drawn, error, saturated, ceiling) => {
    const half = saturated ? 0 : error || 0;
    return { type: "data", symmetric: false, array: [ceiling === null ? half : Math.max(0, Math.min(half, ceiling - drawn))], arrayminus: [half] };
  };

  const shown = (value, error, saturated, few) =>
    number(value) + (saturated ? " saturated" : few ? " undersampled" : error === null ? "" : ` ± ${error < 0.005 ? "<0.01" : number(error)}`);

  function describe(one, k) {
    const v = values(one, k);
    const clipped = Math.abs(v.x - v.drawnX) > 0.005 || Math.abs(v.y - v.drawnY) > 0.005;
    const past = (drawn, error, saturated, ceiling) => !saturated && ceiling !== null && drawn + (error || 0) > ceiling + 0.005;
    const beyond = past(v.drawnX, v.dx, v.sx, v.cx) || past(v.drawnY, v.dy, v.sy, v.cy);
    return `<b>${plain(data.layers[one.layer])}</b>, epoch ${one.e[k]}<br>${plain(one.training)} training, ${plain(one.examples)} examples` +
      `<br>I(X;T) ${shown(v.x, v.dx, v.sx, v.few)} (ceiling ${number(v.cx)})<br>I(T;Y) ${shown(v.y, v.dy, v.sy)} (ceiling ${number(v.cy)})` +
      `<br>null of I(T;Y) ${number(v.q)}${v.nulled ? ": within the null" : ""}${clipped ? "<br>drawn clipped" : beyond ? "<br>error bar drawn up to the ceiling" : ""}`;
  }

  function headAt(one, epoch) { // the last record at or before the epoch: trainings need not share a rhythm
    let k = -1;
    while (k + 1 < one.e.length && one.e[k + 1] <= epoch) k += 1;
    return k;
  }

  // A name stands above, below or beside its point, wherever it covers no other name and no other point; or nowhere: the
  // colours of the layers are in the list above the plane. Sizes are in pixels of a plane of usual size.
  function placeNames(heads, rangeX, rangeY, wide = 640, high = 380) {
    const x = (v) => (wide * (v - rangeX[0])) / (rangeX[1] - rangeX[0]), y = (v) => (high * (v - rangeY[0])) / (rangeY[1] - rangeY[0]);
    const taken = heads.map((one) => [x(one.x) - 6, x(one.x) + 6, y(one.y) - 6, y(one.y) + 6]);
    return heads.map((one, own) => {
      if (!one.name) return "";
      const half = 3.6 * one.name.length, px = x(one.x), py = y(one.y);
      const places = { "top center": [px - half, px + half, py + 7, py + 21], "bottom center": [px - half, px + half, py - 21, py - 7],
        "middle right": [px + 8, px + 8 + 2 * half, py - 7, py + 7], "middle left": [px - 8 - 2 * half, px - 8, py - 7, py + 7],
        "top left": [px - 2 * half, px, py + 7, py + 21], "top right": [px, px + 2 * half, py + 7, py + 21],
        "bottom left": [px - 2 * half, px, py - 21, py - 7], "bottom right": [px, px + 2 * half, py - 21, py - 7] };
      for (const [place, box] of Object.entries(places)) {
        if (box[0] < -50 || box[1] > wide + 12) continue;
        if (taken.some((other, i) => i !== own && box[0] < other[1] && other[0] < box[1] && box[2] < other[3] && other[2] < box[3])) continue;
        taken.push(box);
        return place;
      }
      return "";
    });
  }

  function planeTraces(series, epoch) {
    const traces = [];
    const named = new Set();
    for (const one of series) {
      const k = headAt(one, epoch);
      const training = data.trainings.indexOf(one.training), original = one.examples === "original";
      const paint = colour(one.layer), points = [...Array(k + 1).keys()].map((i) => values(one, i));
      const name = `${data.layers[one.layer]}/${one.training}/${one.examples}`;
      const head = k < 0 ? null : points[k];
      traces.push({ name: plain(name), meta: "trail", type: "scatter", mode: "lines", x: points.map((v) => v.drawnX), y: points.map((v) => v.drawnY),
        line: { color: paint, width: original ? 2 : 1.3, dash: DASHES[training % 4] }, opacity: original ? 0.75 : 0.55,
        text: points.map((_, i) => describe(one, i)), hovertemplate: "%{text}<extra></extra>", showlegend: false });
      if (!head) continue;
      if (head.q !== null) traces.push({ meta: "null", type: "scatter", mode: "lines", x: [head.drawnX, head.drawnX], y: [0, Math.max(0, head.q)],
        line: { color: variable("--null"), width: 9 }, hoverinfo: "skip", showlegend: false });
      const label = named.has(one.layer) ? "" : plain(data.layers[one.layer]);
      named.add(one.layer);
      const shape = symbol(training, data.examples.indexOf(one.examples));
      traces.push({ name: plain(name), meta: "head", type: "scatter", mode: "markers+text", cliponaxis: false, x: [head.drawnX], y: [head.drawnY], text: [label],
        textposition: "top center", textfont: { color: variable("--ink"), size: 12 }, customdata: [describe(one, k)], hovertemplate: "%{customdata}<extra></extra>",
        marker: { color: paint, size: original ? 12 : 11, symbol: shape, line: { width: original ? 1 : 1.6, color: original ? variable("--paper") : paint } },
        error_x: { ...bar(head.drawnX, head.dx, head.sx, head.cx), color: paint, thickness: 1.2, width: 4 },
        error_y: { ...bar(head.drawnY, head.dy, head.sy, head.cy), color: paint, thickness: 1.2, width: 4 }, showlegend: false });
    }
    const { xaxis, yaxis } = planeLayout(series), heads = traces.filter((one) => one.meta === "head");
    const places = placeNames(heads.map((one) => ({ x: one.x[0], y: one.y[0], name: one.text[0] })), xaxis.range, yaxis.range);
    heads.forEach((one, i) => { places[i] ? (one.textposition = places[i]) : (one.text = [""]); });
    return traces.sort((a, b) => (a.meta === "null" ? 0 : 1) - (b.meta === "null" ? 0 : 1));
  }

  // Axes include every epoch of what is chosen, with errors, so that points stay in place while the epoch moves. They
  // begin and end at the data: a ceiling far away is a note at the edge.
  function planeLayout(series) {
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    let ceilingX = null, ceilingY = null;
    for (const one of series) {
      one.x.forEach((_, k) => {
        const v = values(one, k), dx = v.sx ? 0 : v.dx || 0, dy = v.sy ? 0 : v.dy || 0;
        left = Math.min(left, v.drawnX - dx);
        right = Math.max(right, v.cx === null ? v.drawnX + dx : Math.min(v.drawnX + dx, v.cx));
        low = Math.min(low, v.drawnY - dy);
        high = Math.max(high, v.cy === null ? v.drawnY + dy : Math.min(v.drawnY + dy, v.cy));
        if (v.cx !== null) ceilingX = Math.max(ceilingX ?? 0, v.cx);
        if (v.cy !== null) ceilingY = Math.max(ceilingY ?? 0, v.cy);
      });
    }
    if (left > right) [left, right, low, high] = [0, 1, 0, 1];
    const around = (from, to) => { // the narrowest range is a tenth of a bit
      const pad = Math.max(0.08 * (to - from), 0.05);
      return [from - pad, to + pad];
    };
    const rangeX = around(left, right), rangeY = around(low, high), soft = variable("--soft");
    rangeY[1] += 0.06 * (rangeY[1] - rangeY[0]); // room for names
    const line = { color: soft, width: 1, dash: "dash" }, shapes = [], annotations = [];
    const note = (text, extra) => annotations.push({ showarrow: false, text, font: { color: soft, size: 12 }, ...extra });
    if (ceilingX !== null && ceilingX <= rangeX[1]) {
      shapes.push({ type: "line", x0: ceilingX, x1: ceilingX, y0: 0, y1: 1, yref: "paper", line });
      note(`ceiling ${number(ceilingX)}`, { x: ceilingX, y: 1, yref: "paper", yanchor: "bottom", xanchor: "right" });
    } else if (ceilingX !== null) {
      note(`ceiling of I(X;T): ${number(ceilingX)} →`, { x: 1, xref: "paper", xanchor: "right", y: 0, yref: "paper", yanchor: "bottom" });
    }
    if (ceilingY !== null && ceilingY <= rangeY[1]) {
      shapes.push({ type: "line", y0: ceilingY, y1: ceilingY, x0: 0, x1: 1, xref: "paper", line });
      note(`H(Y) ${number(ceilingY)}`, { y: ceilingY, x: 0, xref: "paper", yanchor: "bottom", xanchor: "left" });
    } else if (ceilingY !== null) {
      note(`↑ H(Y): ${number(ceilingY)}`, { x: 0, xref: "paper", xanchor: "left", y: 1, yref: "paper", yanchor: "bottom" });
    }
    return layout({
      xaxis: { title: { text: "I(X;T), bits" }, range: rangeX }, yaxis: { title: { text: "I(T;Y), bits" }, range: rangeY },
      shapes, annotations, hovermode: "closest", uirevision: [$("seed").value, $("split").value, $("estimator").value, ...["trainings", "examples", "layers"].map((id) => [...chosen($(id))].join())].join("|"),
    });
  }

  function fillValues(series, epoch) {
    const table = $("values-table");
    table.replaceChildren(); // also while it is folded away: in print it is open
    const row = (tag, cells) => {
      const line = document.createElement("tr");
      cells.forEach((text, i) => {
        const cell = document.createElement(i < 3 && tag === "td" ? "th" : tag);
        cell.textContent = text;
        if (i < 4) cell.className = "text";
        line.append(cell);
      });
      return line;
    };
    const head = table.createTHead(), body = table.createTBody();
    head.append(row("th", ["Layer", "Training", "Examples", "Epoch", "I(X;T)", "ceiling", "I(T;Y)", "null", "ceiling"]));
    for (const one of series) {
      const k = headAt(one, epoch);
      if (k < 0) continue;
      const v = values(one, k);
      body.append(row("td", [data.layers[one.layer], one.training, one.examples, one.e[k], shown(v.x, v.dx, v.sx, v.few), number(v.cx),
        shown(v.y, v.dy, v.sy), v.q === null ? "none" : (v.nulled ? "≤ " : "> ") + number(v.q), number(v.cy)].map(String)));
    }
  }

  function drawPlane() {
    const epoch = epochs[Number($("epoch").value)];
    $("epoch-value").textContent = epoch;
    $("epoch").setAttribute("aria-valuetext", `epoch ${epoch}`);
    const series = visibleSeries();
    Plotly.react($("plane-chart"), planeTraces(series, epoch), planeLayout(series), config);
    fillValues(series, epoch);
    const marks = data.trainings.map((name, i) => `${name} training: ${["solid line, circle", "dashed line, square", "dotted line, diamond", "dash-dotted line, triangle"][i % 4]}`);
    const attacks = data.examples.filter((name) => name !== "original");
    $("plane-key").textContent = series.length ? marks.join(". ") + "." + attacks.map((name, i) => ` ${name} examples: thin line, ${MARKS[(i + 1) % MARKS.length][1]}.`).join("") : "Nothing is chosen, or nothing was measured: tick a training, examples and a layer.";
  }

  // playing

  let timer = null;
  function stop() {
    clearInterval(timer);
    timer = null;
    $("play").textContent = "Play";
    $("play").setAttribute("aria-pressed", "false");
  }
  function play() {
    const slider = $("epoch");
    if (Number(slider.value) >= Number(slider.max)) slider.value = 0;
    drawPlane();
    timer = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      drawPlane();
      if (Number(slider.value) >= Number(slider.max)) stop();
    }, Math.max(60, Math.min(400, 12000 / epochs.length)));
    $("play").textContent = "Pause";
    $("play").setAttribute("aria-pressed", "true");
  }

  // performance

  function drawPerformance() {
    const traces = (key, scale, digits) => data.performance.map((one) => ({
      type: "scatter", mode: one.e.length < 3 ? "lines+markers" : "lines", x: one.e, y: one[key].map((value) => (value === null ? null : value * scale)),
      name: plain(`${one.training}: ${one.curve}` + (data.seeds.length > 1 ? ` (seed ${one.seed})` : "")),
      line: { color: COLOURS[data.curves.indexOf(one.curve) % COLOURS.length], dash: DASHES[data.trainings.indexOf(one.training) % 4], width: 2 },
      hovertemplate: `epoch %{x}: %{y:.${digits}f}<extra>%{fullData.name}</extra>`,
    }));
    const draw = (id, title, key, scale, digits, yaxis) => {
      if (!data.performance.length) return empty(id, "No performance has been recorded yet.");
      Plotly.react($(id), traces(key, scale, digits), layout({ title: { text: title, font: { size: 14 }, x: 0, xref: "paper" },
        xaxis: { rangemode: "tozero", hoverformat: "d" }, yaxis, legend: { orientation: "h", y: -0.12 }, margin: { l: 56, r: 16, t: 36, b: 32 } }), config);
    };
    const decades = [-6, -5, -4, -3, -2, -1, 0, 1, 2, 3].flatMap((power) => [1, 2, 5].map((digit) => Number(`${digit}e${power}`)));
    draw("accuracy-chart", "Accuracy in %, by epoch", "accuracy", 100, 2, { range: [0, 102] });
    draw("loss-chart", "Cross-entropy in nats, by epoch", "loss", 1, 4, { type: "log", tickvals: decades, ticktext: decades.map(String) });
  }

  function empty(id, text) {
    $(id).classList.add("empty");
    $(id).textContent = text;
  }

  setUp();
  if (data.series.length) {
    for (const id of ["seed", "split", "estimator", "trainings", "examples", "layers"]) $(id).addEventListener("change", drawPlane);
    $("epoch").addEventListener("input", () => { stop(); drawPlane(); });
    $("play").addEventListener("click", () => (timer === null ? play() : stop()));
    drawPlane();
  } else {
    $("controls").style.display = "none";
    empty("plane-chart", "No information has been measured yet.");
  }
  drawPerformance();
  // Paper has another width than the window, and plotly does not notice.
  const charts = () => [...document.querySelectorAll(".chart.js-plotly-plot")];
  addEventListener("beforeprint", () => charts().forEach((chart) => Plotly.relayout(chart, { autosize: false, width: 960 })));
  addEventListener("afterprint", () => charts().forEach((chart) => Plotly.relayout(chart, { autosize: true, width: null })));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    if (data.series.length) drawPlane();
    drawPerformance();
  });
})();
