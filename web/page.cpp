#include "web/page.hpp"

namespace chute {

// Whatever the engine says is put in as text, never as HTML. Refreshes by itself every two seconds.
const std::string_view status_page = R"html(<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>chute</title>
<style>
  :root {
    color-scheme: light dark;
    --ground: light-dark(#fff, #16181c); --text: light-dark(#1c2024, #e6e8eb); --faint: light-dark(#60666d, #9aa0a6);
    --line: light-dark(#e2e5e9, #2c3036); --card: light-dark(#f7f8fa, #1d2025);
    --good: #1a8f4c; --busy: #b7791f; --bad: #c53030; --idle: #60666d;
  }
  body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--ground); color: var(--text);
         font: 15px/1.5 system-ui, sans-serif; }
  header { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: baseline; }
  h1 { margin: 0; font-size: 1.4rem; }
  h2 { margin: 0; font-size: 1.1rem; }
  .faint { color: var(--faint); }
  .card { margin-top: 1rem; padding: 1rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--card); }
  .head { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; }
  .head button { margin-left: auto; }
  .state { padding: .1rem .6rem; border-radius: 1rem; color: #fff; font-size: .85rem; background: var(--idle); }
  .state.streaming { background: var(--good); } .state.stopped { background: var(--bad); border-radius: .2rem; }
  .state.waiting, .state.starting, .state.draining { background: var(--busy); }
  .state.drained, .state.paused { background: var(--idle); }
  .card { border-left: .4rem solid var(--good); }
  .card.waiting, .card.starting, .card.draining { border-left: .4rem dashed var(--busy); }
  .card.stopped { border-left: .4rem double var(--bad); }
  .card.paused, .card.drained { border-left: .4rem dotted var(--idle); }
  .mark { font-weight: 700; margin-right: .4rem; }
  td.needs { font-weight: 600; }
  .figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .75rem; margin: .75rem 0 0; }
  .figures dt { color: var(--faint); font-size: .85rem; }
  .figures dd { margin: 0; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
  .why { margin: .75rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; }
  .why.bad { color: var(--bad); }
  details { margin-top: .75rem; } summary { cursor: pointer; }
  .scroll { overflow-x: auto; }
  table { width: 100%; border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
  th, td { padding: .25rem .5rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
  th { font-weight: 600; } td.number, th.number { text-align: right; }
  #trouble { margin-top: 1rem; color: var(--bad); }
</style>
<header>
  <h1>chute</h1><span id="version" class="faint"></span><span id="uptime" class="faint"></span>
  <span id="memory" class="faint"></span><span id="summary"></span><span id="still" class="faint"></span>
</header>
<div id="trouble" role="status"></div>
<main id="pipelines"></main>
<script>
'use strict';
const every_ms = 2000, refused_ms = 15000, opened = new Set(), earlier = new Map();
let refused = null; // the last order that was not carried out
// A sign for each state, and a word: colour only repeats what they say.
const signs = {starting: '◌', streaming: '▶', waiting: '◔', paused: '‖', draining: '▽', drained: '✓', stopped: '■'};
const words = {streaming: 'running', waiting: 'waiting', stopped: 'stopped'};

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) node[name] = value;
  node.append(...children);
  return node;
}
const count = n => n === null ? 'not known' : n.toLocaleString('en');
function size(n) {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let at = 0;
  for (; n >= 1024 && at < units.length - 1; ++at) n /= 1024;
  return (at ? n.toFixed(1) : n) + ' ' + units[at];
}
function span(ms) {
  const s = Math.floor(ms / 1000), m = Math.floor(s / 60), h = Math.floor(m / 60);
  return h ? `${h}h ${m % 60}m` : m ? `${m}m ${s % 60}s` : `${s}s`;
}

// What came in a second since the last refresh: [records, bytes], or nothing.
function rate(p, at) {
  const before = earlier.get(p.name);
  earlier.set(p.name, {records: p.records, bytes: p.bytes, at});
  if (!before || p.records < before.records || at <= before.at) return null;
  return ['records', 'bytes'].map(what => Math.round((p[what] - before[what]) * 1000 / (at - before.at)));
}

async function order(name, what) {
  try {
    const reply = await fetch(`/pipelines/${encodeURIComponent(name)}/${what}`, {method: 'POST'});
    refused = reply.ok ? null : {why: `${name}: ${what}: ` + (await reply.json()).error, until: performance.now() + refused_ms};
  } catch (e) {
    refused = {why: `${name}: ${what}: no answer from the engine: ${e.message}`, until: performance.now() + refused_ms};
  }
  await refresh();
}

function figures(p, at) {
  const list = make('dl', {className: 'figures'});
  const add = (name, value) => list.append(make('div', {}, make('dt', {}, name), make('dd', {}, value)));
  add('lag', count(p.lag));
  const now = rate(p, at);
  add('records a second', now ? count(now[0]) : '–');
  add('bytes a second', now ? size(now[1]) : '–');
  add('records', count(p.records));
  add('rows', count(p.rows));
  add('dead letters', count(p.dead_letters));
  if (p.dropped) add('dropped', count(p.dropped));
  if (p.gaps_lost) add('offsets lost', count(p.gaps_lost));
  add('inserts', count(p.inserts) + (p.insert_retries ? ` + ${count(p.insert_retries)} again` : ''));
  return list;
}

// A table that is filled only while it is open: a thousand partitions cost nothing otherwise.
function folded(key, title, names, numbers, rows) {
  const cells = (tag, list, needs) => make('tr', {}, ...list.map((text, i) =>
    make(tag, {className: (numbers.includes(i) ? 'number' : '') + (needs ? ' needs' : '')}, text)));
  const place = make('div', {className: 'scroll'});
  const summary = make('summary', {}, title);
  summary.dataset.key = key;
  const box = make('details', {open: opened.has(key)}, summary, place);
  const fill = () => {
    const table = make('table', {}, cells('th', names));
    for (const [list, needs] of rows()) table.append(cells('td', list, needs));
    place.replaceChildren(table);
  };
  if (box.open) fill();
  box.addEventListener('toggle', () => {
    if (box.open) opened.add(key); else opened.delete(key);
    if (box.open && !place.hasChildNodes()) fill();
  });
  return box;
}

const why = l => l.stopped_for || l.waiting_for;
const lane_sign = l => l.phase === 'stopped' ? signs.stopped : l.waiting_for ? signs.waiting : l.phase === 'streaming' ? signs.streaming : signs.starting;

// Those that need somebody stand first.
function lanes(p) {
  const order = l => l.phase === 'stopped' ? 0 : l.waiting_for ? 1 : 2;
  return folded(p.name + ' lanes', `${p.lanes.length} lanes here`,
    ['topic', 'lane', 'phase', 'partitions', 'lag', 'gathered', 'open plan', 'waits for'], [1, 3, 4, 5],
    () => [...p.lanes].sort((a, b) => order(a) - order(b)).map(l =>
      [[l.topic, String(l.lane), lane_sign(l) + ' ' + l.phase, String(l.partitions.length), count(l.lag), size(l.buffered_bytes),
        l.open_token ? l.open_token.slice(0, 8) + '…' : '–', why(l)], l.phase === 'stopped']));
}

function partitions(p) {
  const all = p.lanes.flatMap(l => l.partitions.map(part => [l, part]));
  return folded(p.name + ' partitions', `${all.length} partitions here`,
    ['topic', 'partition', 'lane', 'done below', 'end of the log', 'lag'], [1, 2, 3, 4, 5],
    () => all.sort((a, b) => (b[1].lag || 0) - (a[1].lag || 0)).map(([l, part]) =>
      [[l.topic, String(part.partition), String(l.lane), count(part.next), count(part.end), count(part.lag)], false]));
}

function card(p, at) {
  const paused = p.state === 'paused';
  const button = make('button', {type: 'button', onclick: () => order(p.name, paused ? 'resume' : 'pause')},
                      paused ? 'Resume' : 'Pause');
  button.dataset.key = p.name + ' button';
  button.hidden = ['stopped', 'draining', 'drained'].includes(p.state);
  const mark = make('span', {className: 'mark', ariaHidden: 'true'}, signs[p.state] || '?');
  const box = make('section', {className: 'card ' + p.state},
    make('div', {className: 'head'}, make('h2', {}, p.name),
         make('span', {className: 'state ' + p.state}, mark, words[p.state] || p.state),
         make('span', {className: 'faint'}, p.table ? '→ ' + p.table : ''), button),
    figures(p, at));
  if (p.reason) box.append(make('p', {className: 'why' + (p.state === 'stopped' ? ' bad' : '')}, p.reason));
  else if (p.last_error) box.append(make('p', {className: 'why faint'}, 'last error: ' + p.last_error));
  if (p.reason && p.last_error && !p.reason.includes(p.last_error))
    box.append(make('p', {className: 'why faint'}, 'last error: ' + p.last_error));
  box.append(lanes(p), partitions(p));
  return box;
}

// "2 running, 1 stopped": the worst state names the tab, too.
function summary(pipelines) {
  const states = ['stopped', 'waiting', 'paused', 'starting', 'draining', 'drained', 'streaming'];
  const found = states.map(s => [s, pipelines.filter(p => p.state === s).length]).filter(([, n]) => n);
  document.title = found.length ? `${signs[found[0][0]]} ${found[0][1]} ${words[found[0][0]] || found[0][0]} – chute` : 'chute';
  return found.map(([s, n]) => `${signs[s]} ${n} ${words[s] || s}`).join('   ');
}

const put = (id, text) => { document.getElementById(id).textContent = text; };
const trouble = text => put('trouble', text);

// Somebody marks text, or a button is held down: what is drawn anew would take it from under the hand.
function in_use(main) {
  const marked = document.getSelection();
  return {marked: !marked.isCollapsed && marked.containsNode(main, true), pressed: main.querySelector('button:active, summary:active')};
}

// The keyboard's focus stays on the very element that had it: on another, a key would do what nobody meant.
function redraw(pipelines, at) {
  const main = document.getElementById('pipelines'), use = in_use(main);
  put('still', use.marked ? 'stands still while text is marked' : '');
  if (use.marked || use.pressed) return;
  const focused = main.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  main.replaceChildren(...pipelines.map(p => card(p, at)));
  if (!focused) return;
  const again = [...main.querySelectorAll('[data-key]')].find(node => node.dataset.key === focused);
  if (again) again.focus({preventScroll: true});
}

async function refresh() {
  try {
    const reply = await fetch('/status');
    if (!reply.ok) throw new Error((await reply.json()).error);
    const s = await reply.json(), at = performance.now();
    put('version', s.version);
    put('uptime', 'up ' + span(s.uptime_ms));
    put('memory', `${size(s.memory.used)} of ${size(s.memory.budget)} buffered`);
    put('summary', summary(s.pipelines));
    redraw(s.pipelines, at);
    if (refused && at > refused.until) refused = null;
    trouble(refused ? refused.why : '');
  } catch (e) {
    trouble('No answer from the engine: ' + e.message);
  }
}

async function loop() {
  if (!document.hidden) await refresh();
  setTimeout(loop, every_ms);
}
loop();
</script>
</html>
)html";

} // namespace chute
