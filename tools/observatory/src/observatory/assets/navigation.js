// Navigation in a trace: by the address (#span or #line-3), and by keys on the rows.

import { open, unfold } from "./waterfall.js";

/** Show the target of the address, now and when it changes; `include` brings a span's bar into view. */
export function followAddress(nodes, include) {
  const nodeOf = new Map(nodes.map((node) => [node.span.id, node]));
  const follow = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (!target) return;
    const node = nodeOf.get(target.id);
    if (node) {
      reveal(node, target);
      include(node.span);
    }
    for (const other of document.querySelectorAll(".target")) other.classList.remove("target");
    target.classList.add("target");
    target.scrollIntoView({ block: "center" });
  };
  addEventListener("hashchange", follow);
  follow();
}

function reveal(node, item) {
  for (let above = node.parent; above; above = above.parent) unfold(above, true);
  open(item, true);
  item.querySelector(".open").focus({ preventScroll: true });
}

/** Handle keys: arrows move between the rows and fold them; plus, minus and zero zoom. */
export function handleKeys(rows, nodes, zoom) {
  const nodeOf = new Map(nodes.map((node) => [node.span.id, node]));
  rows.addEventListener("keydown", (event) => {
    const item = event.target.closest(".open")?.closest("li.span");
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    const node = nodeOf.get(item.id);
    const actions = {
      ArrowDown: () => focusOn(beside(item, "nextElementSibling")),
      ArrowUp: () => focusOn(beside(item, "previousElementSibling")),
      ArrowRight: () => unfold(node, true),
      ArrowLeft: () => (isUnfolded(item) ? unfold(node, false) : focusOn(node.parent && document.getElementById(node.parent.span.id))),
      "+": () => zoom.by(0.5),
      "=": () => zoom.by(0.5),
      "-": () => zoom.by(2),
      0: zoom.fit,
    };
    if (!(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
  });
}

function isUnfolded(item) {
  return item.querySelector("button.twist")?.ariaExpanded === "true";
}

function beside(item, direction) {
  let other = item[direction];
  while (other?.hidden) other = other[direction];
  return other;
}

function focusOn(item) {
  item?.querySelector(".open").focus();
}
