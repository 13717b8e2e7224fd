// What moves: charts that zoom and keep in step, tables that sort and filter in place, pages that stay fresh, copying.
// Every page works without it: links and forms go to the same addresses that this asks for in the background.
"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);
  root.classList.add("js");

  // Numbers with their units, as units.py writes them.
  const GAP = "\u202f";
  function bytes(value) {
    for (const unit of ["B", "KiB", "MiB", "GiB"]) {
      if (Math.abs(value) < 1024) return `${value.toFixed(unit === "B" ? 0 : 1)} ${unit}`;
      value /= 1024;
    }
    return `${value.toFixed(1)} TiB`;
  }
  function short(value) {
    for (const [power, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]])
      if (Math.abs(value) >= power * 0.9995) return `${+(value / power).toPrecision(3)}${letter}`;
    return `${+value.toPrecision(3)}`;
  }
  function milliseconds(value) {
    for (const [factor, unit] of [[3600000, "h"], [60000, "min"], [1000, "s"]])
      if (value >= factor) return `${+(value / factor).toFixed(1)} ${unit}`;
    return `${+value.toPrecision(3)} ms`;
  }
  function told(value, unit) {
    if (!value) return value === 0 ? "0" : "–";
    const bare = unit.replace(/\/s$/, ""), rate = bare === unit ? "" : "/s";
    if (bare === "bytes") return bytes(value) + rate;
    if (bare === "ms") return milliseconds(value) + rate;
    if (bare === "s") return milliseconds(value * 1000) + rate;
    if (bare === "%") return `${+value.toPrecision(4)}${GAP}%`;
    return short(value) + rate;
  }
  const moment = (time) => new Date(time * 1000).toISOString().slice(5, 19).replace("T", " ");
  const two = (number) => String(number).padStart(2, "0");
  function clock(time, step) {
    const at = new Date(time * 1000);
    const day = `${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())}`;
    const hour = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
    if (step >= 86400 || hour === "00:00" && step >= 60) return day;
    return step < 60 ? `${hour}:${two(at.getUTCSeconds())}` : hour;
  }

  // Charts.
  const plots = new Map();
  const color = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const POWERS = [...Array(60).keys()].map((each) => 2 ** each);

  function span() {
    const ranges = document.querySelector(".ranges");
    return ranges ? [+ranges.dataset.from, +ranges.dataset.to] : null;
  }
  function stacked(columns) {
    const sums = columns[0].map(() => 0);
    return columns.map((column) => column.map((value, at) => (value == null ? null : (sums[at] += value)))).reverse();
  }
  function events() {
    return all("#events li").map((item) => ({
      at: +item.dataset.at, kind: item.dataset.kind, text: `${item.children[1].textContent}: ${item.children[2].textContent}`,
    }));
  }
  function marks(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.setLineDash([3, 3]);
    const all = events(), few = all.filter((event) => !/opened|resolved/.test(event.kind));
    for (const event of all.length > 10 ? few : all) {
      const x = Math.round(plot.valToPos(event.at, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = color({ opened: "--critical", resolved: "--good", mark: "--link" }[event.kind] || "--quiet");
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }
  function legend(figure, panel, { columns, times }, at) {
    if (at >= times.length) at = null;
    all(".legend b", figure).forEach((value, place) => {
      const column = columns[place];
      value.textContent = told(at == null ? column.findLast((each) => each != null) : column[at], panel.unit);
    });
    const note = figure.querySelector(".note");
    if (at == null) return void (note.textContent = "");
    const step = times.length > 1 ? times[1] - times[0] : 60;
    const near = events().find((event) => Math.abs(event.at - times[at]) <= step);
    note.textContent = `${moment(times[at])} UTC${near ? ` · ${near.text}` : ""}`;
  }
  function draw(figure, panel, times, values, range, peaks = {}) {
    const holder = figure.querySelector(".plot");
    const width = Math.max(120, holder.clientWidth);
    const height = figure.classList.contains("wide") ? 200 : 140;
    const columns = panel.lines.map((line) => values[line.name] || times.map(() => null));
    const peaking = panel.stacked ? [] : panel.lines.filter((line) => peaks[line.name]);
    const data = [times, ...(panel.stacked ? stacked(columns) : columns), ...peaking.map((line) => peaks[line.name])];
    const kind = JSON.stringify([width, panel.unit, panel.lines, peaking, color("--paper")]);
    const known = plots.get(figure);
    if (known?.kind === kind) {
      Object.assign(known, { range, columns, times });
      known.plot.setData(data);
      return legend(figure, panel, known, known.plot.cursor.left < 0 ? null : known.plot.cursor.idx);
    }
    known?.plot.destroy();
    const shown = { kind, range, columns, times };
    const lines = panel.stacked ? [...panel.lines].reverse() : panel.lines;
    const axis = { stroke: color("--quiet"), font: "11px system-ui, sans-serif", ticks: { show: false }, grid: { stroke: color("--rule"), width: 1 } };
    const options = {
      width, height, padding: [8, 26, 0, 0], legend: { show: false },
      cursor: {
        y: false, points: { size: 6 }, sync: { key: "page", scales: ["x", null] }, drag: { x: true, y: false, setScale: false },
        bind: { dblclick: () => () => { zoomOut(); return null; } },
      },
      scales: {
        x: { time: true, range: () => shown.range },
        y: { range: (_, low, high) => {
          if (low == null) return [0, 1];
          if (panel.unit === "%" && high > 50 && panel.zero) return [0, 100];
          const air = panel.zero ? 0 : Math.max((high - low) * 0.1, Math.abs(high) * 0.01, 1);
          return [panel.zero ? 0 : Math.max(0, low - air), panel.zero ? (high > 0 ? high * 1.08 : 1) : high + air];
        } },
      },
      axes: [
        { ...axis, size: 25, gap: 6, space: 60, values: (_, splits, __, ___, step) => splits.map((each) => clock(each, step)) },
        { ...axis, size: 62, gap: 6, space: 36, values: (_, splits) => splits.map((each) => told(each, panel.unit)),
          ...(panel.unit.startsWith("bytes") ? { incrs: POWERS } : {}) },
      ],
      series: [{}, ...lines.map((line) => {
        const stroke = color(`--c${line.color}`);
        return { stroke, width: panel.stacked ? 1 : 1.6, fill: panel.stacked ? stroke : undefined, points: { show: (plot, place) => lonely(plot.data[place]) } };
      }), ...peaking.map((line) => ({ stroke: color(`--c${line.color}`), width: 1, alpha: 0.4, points: { show: false } }))],
      hooks: {
        draw: [marks],
        setCursor: [(plot) => legend(figure, panel, shown, plot.cursor.left < 0 ? null : plot.cursor.idx)],
        setSelect: [(plot) => {
          const { left, width: wide } = plot.select;
          const ends = [left, left + wide].map((place) => plot.posToVal(place, "x"));
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          if (wide > 4) zoom(...ends);
        }],
      },
    };
    holder.replaceChildren();
    holder.classList.add("drawn");
    Object.assign(holder, { tabIndex: 0, role: "application", ariaLabel: `${figure.querySelector("h3").textContent}: arrow keys move, with Shift they choose, Enter zooms in, minus out` });
    plots.set(figure, Object.assign(shown, { plot: new uPlot(options, data, holder) }));
  }
  function lonely(column) {
    return column.some((value, at) => value != null && column[at - 1] == null && column[at + 1] == null);
  }
  let drawing = 0;
  async function drawAll() {
    const mine = ++drawing;
    for (const box of all(".scroll")) if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    for (const [figure, { plot }] of plots) if (!figure.isConnected) (plot.destroy(), plots.delete(figure));
    if (!window.uPlot) return;
    for (const group of all(".charts")) {
      const figures = all("figure.chart", group).map((figure) => [figure, JSON.parse(figure.dataset.chart)]);
      const asking = figures.filter(([, panel]) => !panel.times);
      for (const [figure, panel] of figures)
        if (panel.times) draw(figure, panel, panel.times, panel.values, span() || [panel.times[0], panel.times.at(-1)]);
      if (!asking.length || !group.dataset.series) continue;
      const range = span();
      const names = [...new Set(asking.flatMap(([, panel]) => panel.lines.map((line) => line.name)))];
      const points = Math.min(300, Math.max(180, Math.round(group.clientWidth / 4)));
      const found = await fetch(`${group.dataset.series}?metrics=${names.join(",")}&from=${range[0]}&to=${range[1]}&points=${points}&with=peaks`)
        .then((answer) => answer.ok && answer.json()).catch(silent);
      if (mine !== drawing) return;
      if (!found) continue;
      const times = found.times.map((time) => Date.parse(time) / 1000);
      for (const [figure, panel] of asking) if (figure.isConnected) draw(figure, panel, times, found.values, range, found.peaks);
    }
  }
  function zoom(first, last) {
    if (!span()) return;
    const address = new URL(location.href);
    for (const name of ["range", "page"]) address.searchParams.delete(name);
    address.searchParams.set("from", Math.floor(first));
    address.searchParams.set("to", Math.ceil(Math.max(last, first + 10)));
    address.hash = "";
    say(`${moment(first)} – ${moment(last)} UTC`);
    load(address.href, "push");
  }
  function zoomOut() {
    if (!span()) return;
    const [first, last] = span(), half = (last - first) / 2, now = Date.now() / 1000;
    const end = Math.min(last + half, now);
    zoom(end - 4 * half, end);
  }

  // Charts by keys: the cursor of all of them moves, and what is chosen is chosen in all.
  const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 };
  let begun = null;
  const say = (text) => (byId("said").textContent = text);
  function choose(...times) {
    for (const { plot } of plots.values()) {
      const [left, right] = times.map((time) => plot.valToPos(time, "x")).sort((one, other) => one - other);
      plot.setSelect({ left, width: right - left, top: 0, height: plot.over.clientHeight }, false);
    }
  }
  document.addEventListener("keydown", (event) => {
    const { key, target } = event, figure = target.matches?.(".drawn") && target.parentElement, shown = plots.get(figure);
    if (!shown || event.altKey || event.ctrlKey || event.metaKey) return;
    const { plot, times, columns } = shown, range = span(), step = STEPS[key];
    const newest = times.findLastIndex((_, place) => columns.some((column) => column[place] != null));
    const at = plot.cursor.left < 0 ? newest : plot.cursor.idx, here = times[at];
    if (step) {
      const next = times[Math.max(0, Math.min(times.length - 1, at + step))];
      begun = event.shiftKey && range ? begun ?? here : null;
      plot.setCursor({ left: plot.valToPos(next, "x"), top: 1 }, true, true);
      choose(begun ?? next, next);
      const told = [".note", ".legend li"].flatMap((each) => all(each, figure)).map((each) => each.textContent).join(", ");
      say(begun == null ? told : `${told}. ${moment(begun)} – ${moment(next)}: Enter`);
    } else if (range && /^(Enter|Escape|[-+−])$/.test(key)) {
      const quarter = (range[1] - range[0]) / 4, isIn = /Enter|\+/.test(key), from = begun;
      begun = null;
      choose(here, here);
      if (isIn && from != null && from !== here) zoom(Math.min(from, here), Math.max(from, here));
      else if (isIn) zoom(here - quarter, Math.min(here + quarter, Date.now() / 1000));
      else if (from == null) zoomOut();
    } else return;
    event.preventDefault();
  });

  // Pages: what is new is put into the page that is there, so that focus, place, and what was opened stay.
  function morph(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return void old.replaceWith(fresh);
    if (old.nodeType !== Node.ELEMENT_NODE) return void (old.nodeValue = fresh.nodeValue);
    const typed = old === document.activeElement && /^(INPUT|SELECT)$/.test(old.nodeName);
    for (const { name } of [...old.attributes])
      if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes)
      if (old.getAttribute(name) !== value && !(name === "open" && old.nodeName === "DETAILS")) old.setAttribute(name, value);
    if (old.nodeName === "INPUT" && !typed) old.value = fresh.value;
    const known = new Map([...old.children].filter((each) => each.id).map((each) => [each.id, each]));
    let at = old.firstChild;
    for (const next of [...fresh.childNodes]) {
      const same = next.id && known.get(next.id);
      if (same) {
        if (same === at) at = at.nextSibling;
        else old.insertBefore(same, at);
        morph(same, next);
      } else if (at && !at.id && !next.id && at.nodeName === next.nodeName) {
        const now = at;
        at = at.nextSibling;
        if (!(now.classList?.contains("plot") && now.classList.contains("drawn"))) morph(now, next);
      } else old.insertBefore(next, at);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }
  let turn = 0, loaded = Date.now();
  async function load(address, how) {
    const mine = ++turn;
    loaded = Date.now();
    try {
      const answer = await fetch(address, { headers: { Accept: "text/html" } });
      if (!answer.ok || !/html/.test(answer.headers.get("Content-Type"))) {
        if (how) location.href = address;
        return lost(`The receiver answers ${answer.status}`);
      }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (mine !== turn) return;
      if (how) history[`${how}State`](null, "", address);
      const focus = document.activeElement?.id;
      document.title = page.title;
      document.body.dataset.refresh = page.body.dataset.refresh;
      for (const id of ["top", "main", "foot"]) {
        const old = byId(id), fresh = page.getElementById(id);
        if (old && fresh) morph(old, fresh);
      }
      if (focus && document.activeElement?.id !== focus) byId(focus)?.focus({ preventScroll: true });
      lost("");
      await drawAll();
    } catch (error) {
      if (error instanceof TypeError) silent();
      else throw error;
    }
  }
  const silent = () => lost("The receiver does not answer");
  function lost(why) {
    let line = byId("lost");
    if (!why) return void line?.remove();
    if (!line) {
      line = document.createElement("div");
      line.id = "lost";
      line.setAttribute("role", "alert");
      document.body.prepend(line);
    }
    if (!line.textContent) line.textContent = `${why}: this page is as of ${new Date(loaded).toISOString().slice(11, 19)} UTC`;
  }
  function isBusy() {
    const selection = getSelection();
    return document.hidden || (selection && !selection.isCollapsed) || [...plots.values()].some(({ plot }) => plot.select.width > 0);
  }
  setInterval(() => {
    const every = +document.body.dataset.refresh;
    if (every > 0 && Date.now() - loaded >= every * 1000 && !isBusy()) load(location.href, "");
  }, 500);
  addEventListener("popstate", () => load(location.href, ""));
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button.copy");
    if (button) return void copy(button);
    const link = event.target.closest?.("a[href]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const address = new URL(link.href?.baseVal ?? link.href, location.href);
    if (address.origin !== location.origin || address.pathname !== location.pathname || address.hash) return;
    event.preventDefault();
    load(address.href, "push");
  });
  const addressOf = (form) => {
    const fields = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    return `${form.action.split("?")[0]}${fields.size ? `?${fields}` : ""}`;
  };
  let typing = 0;
  document.addEventListener("input", (event) => {
    const form = event.target.form;
    if (!form?.matches("[data-soft]")) return;
    clearTimeout(typing);
    typing = setTimeout(() => load(addressOf(form), "replace"), 180);
  });
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches("[data-soft], .pause")) return;
    event.preventDefault();
    if (form.matches("[data-soft]")) return load(addressOf(form), "push");
    await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), redirect: "manual" }).catch(() => null);
    load(location.href, "");
  });

  async function copy(button) {
    const text = button.parentElement.querySelector("pre").textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const range = document.createRange();
      range.selectNodeContents(button.parentElement.querySelector("pre"));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      if (!document.execCommand("copy")) return;
      getSelection().removeAllRanges();
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }

  let width = innerWidth;
  addEventListener("resize", () => innerWidth !== width && ((width = innerWidth), drawAll()));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  drawAll();
})();
