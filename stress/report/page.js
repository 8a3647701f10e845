(function () {
  "use strict";

  // The number that a cell sorts by, or its text; null, which sorts last, where it holds neither.
  function key(row, column) {
    var cell = row.cells[column];
    if (cell.hasAttribute("data-value")) {
      var text = cell.getAttribute("data-value").replace("inf", "Infinity");
      return Number(text);
    }
    return cell.classList.contains("number") ? null : cell.textContent.trim() || null;
  }

  function compare(one, other) {
    return typeof one === "number"
      ? one - other
      : one.localeCompare(other, undefined, { numeric: true });
  }

  function sort(table, header, column) {
    var body = table.tBodies[0];
    var numeric = header.classList.contains("number");
    var current = header.getAttribute("aria-sort");
    var descending = current === "none" ? numeric : current === "ascending";
    var rows = Array.from(body.rows, function (row) {
      return { row: row, key: key(row, column) };
    });
    rows.sort(function (one, other) {
      if (one.key === null || other.key === null) {
        return (one.key === null) - (other.key === null);
      }
      return (descending ? -1 : 1) * compare(one.key, other.key);
    });
    rows.forEach(function (entry) {
      body.appendChild(entry.row);
    });
    table.querySelectorAll("th[aria-sort]").forEach(function (heading) {
      heading.setAttribute("aria-sort", "none");
    });
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  }

  document.querySelectorAll("table.sortable").forEach(function (table) {
    table.querySelectorAll("thead th").forEach(function (header, column) {
      header.querySelector("button").addEventListener("click", function () {
        sort(table, header, column);
      });
    });
  });

  // Every table as a file, made here: nothing is asked of a network.
  function save(name) {
    var exports = JSON.parse(document.getElementById("exports").textContent);
    var address = URL.createObjectURL(new Blob([exports[name]], { type: "text/csv;charset=utf-8" }));
    var link = document.createElement("a");
    link.href = address;
    link.download = name + ".csv";
    document.body.appendChild(link);
    link.click();
    link.remove();
    // the browser reads the file after the click has returned
    window.setTimeout(function () {
      URL.revokeObjectURL(address);
    }, 60000);
  }

  document.querySelectorAll("button[data-table]").forEach(function (button) {
    button.hidden = false;
    button.addEventListener("click", function () {
      save(button.getAttribute("data-table"));
    });
  });

  // Figures keep the width of the screen unless they are told the width of the paper (A4 less
  // margins, at 96 pixels an inch) before the page is printed.
  var PAPER = 680;

  function plots(change) {
    document.querySelectorAll(".js-plotly-plot").forEach(function (plot) {
      window.Plotly.relayout(plot, change);
    });
  }

  window.addEventListener("beforeprint", function () {
    plots({ autosize: false, width: PAPER });
  });
  window.addEventListener("afterprint", function () {
    plots({ autosize: true, width: null });
  });
})();
