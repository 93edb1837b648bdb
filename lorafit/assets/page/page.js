"use strict";
// The page says everything without this: it reads charts out, sorts tables, and searches predictions.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const shown = (value) => (Math.abs(value) >= 1e5 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : String(+value.toPrecision(4)));

  // ---- charts: the values are read back from the lines and the ends of the axes
  for (const plot of all(".plot")) {
    const svg = plot.querySelector("svg"), area = plot.querySelector(".area");
    const cursor = plot.querySelector(".cursor"), readout = plot.querySelector(".readout");
    const { xLow, xHigh, yLow, yHigh, xLog, xTitle } = svg.dataset;
    const across = (share) => (xLog === "true" ? xLow * (xHigh / xLow) ** share : +xLow + share * (xHigh - xLow));
    const series = all(".series", svg).map((path) => ({
      name: path.dataset.name,
      points: (path.getAttribute("d").match(/[\d.-]+ [\d.-]+/g) || []).map((pair) => pair.split(" ").map((each) => each / 1000)),
    }));
    const places = [...new Set(series.flatMap((each) => each.points.map((point) => point[0])))].sort((a, b) => a - b);
    let at = -1;
    const tell = (index) => {
      at = Math.max(0, Math.min(places.length - 1, index));
      const place = places[at];
      const lines = series.flatMap(({ name, points }) => {
        const point = points.find((each) => each[0] === place);
        return point ? [`${name} ${shown(+yLow + (1 - point[1]) * (yHigh - yLow))}`] : [];
      });
      readout.textContent = [`${xTitle} ${shown(across(place))}`, ...lines].join("\n");
      cursor.hidden = false;
      cursor.style.left = `${100 * place}%`;
      readout.style.right = place > 0.5 ? "auto" : "";
      readout.style.left = place > 0.5 ? "3.4rem" : "auto";
    };
    const hide = () => { cursor.hidden = true; readout.textContent = ""; };
    area.addEventListener("pointermove", (event) => {
      const box = area.getBoundingClientRect(), share = (event.clientX - box.left) / box.width;
      let nearest = 0;
      places.forEach((place, index) => { if (Math.abs(place - share) < Math.abs(places[nearest] - share)) nearest = index; });
      tell(nearest);
    });
    area.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", (event) => {
      const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: places.length - 1 }[event.key];
      if (event.key === "Escape") hide();
      if (next === undefined) return;
      event.preventDefault();
      tell(next);
    });
  }

  // ---- tables that sort
  const keyOf = (row, column) => {
    const cell = row.cells[column], given = cell.dataset.value ?? cell.textContent.trim();
    const value = Number(given.replaceAll(",", ""));
    return given === "" || given === "–" ? null : Number.isNaN(value) ? given.toLowerCase() : value;
  };
  const compare = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);
  for (const table of all("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    heads.forEach((head, column) => {
      if (!head.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((each) => each.hasAttribute("aria-sort") && each.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].map((row) => [keyOf(row, column), row]);
        rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : (down ? -1 : 1) * compare(a, b)));
        body.append(...rows.map(([, row]) => row));
      });
    });
  }

  // ---- predictions
  const list = document.getElementById("list");
  if (!list) return;
  const plain = (text) => text.toLowerCase().split(/\s+/).filter(Boolean).join(" ");
  const answers = all(".answer", list), texts = answers.map((each) => plain(each.textContent));
  const find = document.getElementById("find"), wrong = document.getElementById("only-wrong");
  const order = document.getElementById("order"), found = document.getElementById("found");
  list.querySelector(".tools").hidden = false;
  const filter = () => {
    const wanted = plain(find.value);
    let count = 0;
    answers.forEach((answer, index) => {
      const hit = texts[index].includes(wanted) && !(wrong?.checked && !answer.classList.contains("wrong"));
      answer.hidden = !hit;
      count += hit;
    });
    found.textContent = count === answers.length ? `${count} shown` : `${count} of ${answers.length}`;
  };
  find.addEventListener("input", filter);
  wrong?.addEventListener("change", filter);
  order?.addEventListener("change", () => {
    const key = order.value, sign = key === "down" ? -1 : 1;
    const by = (answer) => (key === "index" ? +answer.dataset.index : sign * (answer.dataset.value ?? sign * Infinity));
    list.append(...[...answers].sort((a, b) => by(a) - by(b)));
  });
  filter();
})();
