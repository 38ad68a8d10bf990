// Puts the chosen model's, task's, seed's and depth's rows into charts and tables. What charts show
// and how is in charts.py; nothing here knows a table's meaning.
"use strict";
const study = JSON.parse(document.getElementById("study").textContent);
const ids = ["model", "task", "seed", "estimator", "depth"];
const control = Object.fromEntries(ids.map((id) => [id, document.getElementById(id)]));
const unpacked = new Map();
const ERRORS = 1; // of Vega's log levels the one that says no more than errors
let drawn = [];

// Rows of a packed table (see tables.pack), once a pair.
function rows(pair, name) {
  const key = `${pair.model}\n${pair.task}\n${name}`;
  if (!unpacked.has(key)) {
    const { n, columns } = pair.tables[name] ?? { n: 0, columns: {} };
    const value = ({ one, levels, codes, values }, row) =>
      codes ? levels[codes[row]] : values ? values[row] : one;
    const named = Object.entries(columns);
    const make = (_, row) => Object.fromEntries(named.map(([k, column]) => [k, value(column, row)]));
    unpacked.set(key, Array.from({ length: n }, make));
  }
  // Vega marks the rows it is given.
  return unpacked.get(key).map((row) => ({ ...row }));
}

const choice = () => ({ seed: Number(control.seed.value), depth: Number(control.depth.value), estimator: control.estimator.value });
const pairNow = () => study.pairs.find((p) => p.model === control.model.value && p.task === control.task.value);
const matches = (row, wanted) => Object.entries(wanted).every(([k, v]) => !(k in row) || row[k] === null || row[k] === v);

function element(tag, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

function fill(select, options, title = (x) => x) {
  const before = select.value;
  select.replaceChildren(...options.map((o) => element("option", { value: o, textContent: title(o) })));
  if (options.map(String).includes(before)) select.value = before;
  select.disabled = options.length < 2;
}

const shown = (value) =>
  value === null || value === undefined ? "" : typeof value === "number" && !Number.isInteger(value)
    ? String(Number(value.toPrecision(4))) : String(value);

function table(records, title) {
  const names = records.length ? Object.keys(records[0]).filter((k) => records.some((r) => r[k] !== null)) : [];
  const caption = element("caption", { textContent: title });
  const head = element("tr", {}, ...names.map((n) => element("th", { scope: "col", textContent: n })));
  const body = records.map((r) => element("tr", {}, ...names.map((n) =>
    element("td", { className: typeof r[n] === "number" ? "number" : "", textContent: shown(r[n]) }))));
  return element("table", {}, caption, element("thead", {}, head), element("tbody", {}, ...body));
}

// The rows that a chart shows, of the chosen seed and estimator.
function rowsOf(chart) {
  const { seed, estimator } = choice();
  const wanted = chart.follows ? { [chart.follows]: choice().depth } : {};
  const there = (row) => (!chart.needs || row[chart.needs] !== null) && matches(row, wanted);
  return rows(pairNow(), chart.rows).filter((row) => there(row) && matches(row, { ...chart.where, seed, estimator }));
}

// The data sets of a chart's Vega view.
function datasets(chart) {
  const { seed, estimator } = choice();
  const own = rows(pairNow(), chart.rows).filter((row) => matches(row, { seed, estimator }));
  const extra = Object.entries(chart.extra).map(([name, source]) => [name, rows(pairNow(), source)]);
  return { rows: own, ...Object.fromEntries(extra) };
}

function refreshTable(figure) {
  const details = figure.node.querySelector("details");
  if (details.open) details.querySelector(".wide").replaceChildren(table(rowsOf(figure.chart), figure.chart.title));
}

// A tooltip is gone with the pointer: what was clicked stays below its chart.
function keep(figure, datum) {
  const kept = figure.node.querySelector(".kept");
  const command = datum.command;
  kept.replaceChildren(...(command ? ["Export it with ", element("code", { textContent: command }),
    " and the study's --configfile or profile."] : []));
}

function place(chart, grid) {
  const node = element("figure", { id: chart.name, className: chart.wide ? "wide-chart" : "" },
    element("figcaption", { textContent: chart.title }),
    ...(chart.words ? [element("p", { className: "words", textContent: chart.words })] : []),
    element("div", { className: "chart" }), element("p", { className: "words kept" }),
    element("details", {}, element("summary", { textContent: "Table" }), element("div", { className: "wide" })));
  grid.append(node);
  const figure = { chart, node, view: null };
  node.querySelector("details").addEventListener("toggle", () => refreshTable(figure));
  return figure;
}

// The first time that there is something to draw.
async function embed(figure) {
  const { chart, node } = figure, chosen = choice();
  const params = chart.spec.params.map((each) => ({ ...each, value: chosen[each.name] }));
  const spec = { ...chart.spec, params, datasets: datasets(chart) };
  // Vega warns of each layer without rows, such as outlines of blocks where none was found.
  const options = { renderer: "svg", actions: false, tooltip: { theme: "custom" }, logLevel: ERRORS };
  figure.view = (await vegaEmbed(node.querySelector(".chart"), spec, options)).view;
  figure.view.addEventListener("click", (_, item) => {
    const datum = item?.datum;
    if (!datum) return;
    if (chart.click && datum[chart.click]) {
      control.depth.value = datum[chart.click];
      choose();
    }
    keep(figure, datum);
  });
}

async function redraw({ chart, view }) {
  for (const [name, records] of Object.entries(datasets(chart))) view.data(name, records);
  for (const [name, value] of Object.entries(choice())) if (chart.signals.includes(name)) view.signal(name, value);
  await view.resize().runAsync();
}

// Other rows: of another model, task, seed or estimator.
async function load() {
  for (const { chart, node } of drawn) {
    node.hidden = rowsOf(chart).length === 0;
    node.querySelector(".kept").replaceChildren();
  }
  for (const part of document.querySelectorAll("#charts > section")) {
    part.querySelector(".absent").hidden = [...part.querySelectorAll("figure")].some((node) => !node.hidden);
  }
  const seen = drawn.filter(({ node }) => !node.hidden);
  await Promise.all(seen.map((figure) => (figure.view ? redraw(figure) : embed(figure))));
  seen.forEach(refreshTable);
  readout();
}

// Another depth of the same rows.
async function choose() {
  control.depth.setAttribute("aria-valuetext", `depth ${control.depth.value} of ${control.depth.max}`);
  document.getElementById("depth-value").textContent = `${control.depth.value} of ${control.depth.max}`;
  readout();
  const moved = drawn.filter(({ chart, node, view }) => view && chart.signals.includes("depth") && !node.hidden);
  await Promise.all(moved.map(({ view }) => view.signal("depth", choice().depth).runAsync()));
  moved.filter(({ chart }) => chart.follows).forEach(refreshTable);
  document.body.dataset.drawn = Number(document.body.dataset.drawn ?? 0) + 1; // all of it
}

function readout() {
  const { seed, depth } = choice();
  const lines = study.readouts.flatMap(({ title, table: name, where, at, values }) => {
    const found = rows(pairNow(), name).find((row) => matches(row, { ...where, seed, [at]: depth }));
    return found && found[values[0][0]] !== null ? [{ title, found, values }] : [];
  });
  const said = ({ found, values }) => values.map(([column, words, digits]) => {
    const value = found[column];
    if (value === null || value === undefined) return "";
    if (typeof value !== "number" || digits === null) return words.replace("{}", value);
    const fixed = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    return words.replace("{}", value.toLocaleString("en", fixed));
  }).join("");
  document.getElementById("readout").replaceChildren(...lines.map((line) => element("div", {},
    element("dt", { textContent: line.title }), element("dd", { textContent: said(line) }))));
}

function pick() {
  const models = [...new Set(study.pairs.map((p) => p.model))];
  const title = (name) => study.titles[name] ?? name;
  fill(control.model, models, title);
  fill(control.task, study.pairs.filter((p) => p.model === control.model.value).map((p) => p.task), title);
  const { seeds, failed, layers, estimators } = pairNow();
  fill(control.seed, seeds, (seed) => (failed.includes(seed) ? `${seed} (failed)` : seed));
  fill(control.estimator, estimators);
  document.getElementById("failed").hidden = !failed.includes(choice().seed);
  const depth = document.body.dataset.ready ? Number(control.depth.value) : layers;
  control.depth.max = layers;
  control.depth.value = Math.min(depth, layers);
}

async function start() {
  const page = document.getElementById("charts");
  const parts = new Map();
  for (const chart of study.charts) {
    if (!parts.has(chart.section)) {
      const grid = element("div", { className: "grid" });
      const note = element("p", { className: "absent", textContent: "Nothing of this for the chosen model, task and seed.", hidden: true });
      page.append(element("section", {}, element("h2", { textContent: chart.section }), note, grid));
      parts.set(chart.section, grid);
    }
  }
  pick();
  drawn = study.charts.map((chart) => place(chart, parts.get(chart.section)));
  await load();
  await choose();
  const again = async () => { pick(); await load(); await choose(); };
  for (const id of ["model", "task", "seed", "estimator"]) control[id].addEventListener("change", again);
  control.depth.addEventListener("input", choose);
  document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
  document.body.dataset.ready = "yes";
}
start();
