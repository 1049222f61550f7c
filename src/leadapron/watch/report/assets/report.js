"use strict";
(() => {
  const table = document.getElementById("endpoints");
  if (table) {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows);
    const keyOf = (row, column, numeric) => {
      const cell = row.cells[column];
      const value = cell.dataset.v ?? cell.textContent.trim().toLowerCase();
      return numeric ? Number(value) : value;
    };
    const sortBy = (header, button) => {
      const column = header.cellIndex;
      const numeric = header.dataset.kind === "number";
      const before = header.getAttribute("aria-sort");
      const first = header.dataset.first ?? (numeric ? "descending" : "ascending");
      const second = first === "ascending" ? "descending" : "ascending";
      const direction = before === first ? second : first;
      const sign = direction === "ascending" ? 1 : -1;
      const keyed = rows.map((row, index) => [keyOf(row, column, numeric), index, row]);
      keyed.sort((a, b) => (a[0] < b[0] ? -sign : a[0] > b[0] ? sign : a[1] - b[1]));
      body.replaceChildren(...keyed.map((entry) => entry[2]));
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", direction);
      button.focus();
    };
    for (const header of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      header.dataset.label = header.textContent; // on paper a heading that is repeated on each page cannot be a button
      button.append(...header.childNodes);
      button.addEventListener("click", () => sortBy(header, button));
      header.append(button);
    }

    const filter = document.getElementById("filter");
    const shown = document.getElementById("shown");
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const apply = () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      rows.forEach((row, index) => {
        row.hidden = !words.every((word) => texts[index].includes(word));
        if (!row.hidden) count += 1;
      });
      shown.value = words.length ? `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")} shown` : "";
    };
    if (rows.length > 7) {
      filter.addEventListener("input", apply);
      filter.closest(".tools").hidden = false;
      if (filter.value) apply();
    }
  }

  const reveal = () => {
    const wanted = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (!(wanted instanceof HTMLDetailsElement)) return;
    for (let one = wanted; one; one = one.parentElement.closest("details")) one.open = true;
    wanted.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  const servers = Array.from(document.querySelectorAll("details.server"));
  const all = document.getElementById("all");
  if (all && servers.length > 1) {
    const relabel = () => {
      all.textContent = servers.every((one) => one.open) ? "Close all" : "Open all";
    };
    all.hidden = false;
    all.addEventListener("click", () => {
      const open = !servers.every((one) => one.open);
      for (const one of servers) one.open = open;
    });
    for (const one of servers) one.addEventListener("toggle", relabel);
    relabel();
  }

  // Paper cannot be clicked: everything is opened to be printed, and closed again after.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = Array.from(document.querySelectorAll("details.server:not([open]), details.server details:not([open])"));
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
  });
})();
