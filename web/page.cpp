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
  .state.streaming { background: var(--good); } .state.stopped { background: var(--bad); }
  .state.waiting, .state.starting, .state.draining { background: var(--busy); }
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
  <span id="memory" class="faint"></span>
</header>
<div id="trouble" role="status"></div>
<main id="pipelines"></main>
<script>
'use strict';
const every_ms = 2000, opened = new Set(), earlier = new Map();

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

// Records a second since the last refresh.
function rate(p, at) {
  const before = earlier.get(p.name);
  earlier.set(p.name, {records: p.records, at});
  if (!before || p.records < before.records || at <= before.at) return '–';
  return count(Math.round((p.records - before.records) * 1000 / (at - before.at)));
}

async function order(name, what) {
  const reply = await fetch(`/pipelines/${encodeURIComponent(name)}/${what}`, {method: 'POST'});
  if (!reply.ok) trouble((await reply.json()).error);
  else await refresh();
}

function figures(p, at) {
  const list = make('dl', {className: 'figures'});
  const add = (name, value) => list.append(make('div', {}, make('dt', {}, name), make('dd', {}, value)));
  add('lag', count(p.lag));
  add('records a second', rate(p, at));
  add('records', count(p.records));
  add('rows', count(p.rows));
  add('dead letters', count(p.dead_letters));
  add('inserts', count(p.inserts) + (p.insert_retries ? ` + ${count(p.insert_retries)} again` : ''));
  return list;
}

function lanes(p) {
  const row = (tag, cells) => make('tr', {}, ...cells.map((text, i) => make(tag, {className: i > 2 && i < 6 ? 'number' : ''}, text)));
  const table = make('table', {}, row('th', ['topic', 'lane', 'phase', 'partitions', 'lag', 'buffered', 'waits for']));
  for (const l of p.lanes)
    table.append(row('td', [l.topic, String(l.lane), l.phase, String(l.partitions.length), count(l.lag),
                            size(l.buffered_bytes), l.stopped_for || l.waiting_for]));
  const box = make('details', {open: opened.has(p.name)}, make('summary', {}, `${p.lanes.length} lanes here`),
                   make('div', {className: 'scroll'}, table));
  box.addEventListener('toggle', () => box.open ? opened.add(p.name) : opened.delete(p.name));
  return box;
}

function card(p, at) {
  const paused = p.state === 'paused';
  const button = make('button', {type: 'button', onclick: () => order(p.name, paused ? 'resume' : 'pause')},
                      paused ? 'Resume' : 'Pause');
  button.hidden = ['stopped', 'draining', 'drained'].includes(p.state);
  const box = make('section', {className: 'card'},
    make('div', {className: 'head'}, make('h2', {}, p.name), make('span', {className: 'state ' + p.state}, p.state),
         make('span', {className: 'faint'}, p.table ? '→ ' + p.table : ''), button),
    figures(p, at));
  if (p.reason) box.append(make('p', {className: 'why' + (p.state === 'stopped' ? ' bad' : '')}, p.reason));
  else if (p.last_error) box.append(make('p', {className: 'why faint'}, 'last error: ' + p.last_error));
  box.append(lanes(p));
  return box;
}

const put = (id, text) => { document.getElementById(id).textContent = text; };
const trouble = text => put('trouble', text);

async function refresh() {
  try {
    const reply = await fetch('/status');
    if (!reply.ok) throw new Error((await reply.json()).error);
    const s = await reply.json(), at = performance.now();
    put('version', s.version);
    put('uptime', 'up ' + span(s.uptime_ms));
    put('memory', `${size(s.memory.used)} of ${size(s.memory.budget)} buffered`);
    const focus = document.activeElement && document.activeElement.closest('section');
    const index = focus ? [...focus.parentNode.children].indexOf(focus) : -1;
    document.getElementById('pipelines').replaceChildren(...s.pipelines.map(p => card(p, at)));
    const again = document.querySelectorAll('main section')[index];
    if (again) again.querySelector('button').focus();
    trouble('');
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
