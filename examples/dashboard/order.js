// An order that is changed by its buttons, or by dragging.
import { drawList, fill, find, part } from "./page.js";

const middleOf = (node) => {
  const { top, height } = node.getBoundingClientRect();
  return top + height / 2;
};

// The others move around the row: moved itself, it would lose the pointer.
function follow(row, y) {
  const { previousElementSibling: before, nextElementSibling: after } = row;
  const passed = before && y < middleOf(before) ? before : null;
  const reached = after && y > middleOf(after) ? after : null;
  if (!passed && !reached) return;
  if (passed) row.after(passed);
  else row.before(reached);
  follow(row, y); // a fast hand passes more than one
}

function makeDraggable(row, drop) {
  const grip = part(row, "grip");
  grip.onpointerdown = (event) => {
    if (event.button !== 0) return;
    event.preventDefault(); // no text is selected
    grip.setPointerCapture(event.pointerId);
    row.classList.add("dragged");
    grip.onpointermove = ({ clientY }) => follow(row, clientY);
    grip.onlostpointercapture = () => {
      grip.onpointermove = grip.onlostpointercapture = null;
      row.classList.remove("dragged");
      drop([...row.parentElement.children].map((each) => each.dataset.key));
    };
  };
}

// `change` gets the items in their new order, and the one that was moved (none: it was taken out).
export function drawOrder(list, items, change) {
  const move = (item, to) => {
    const others = items.filter((each) => each !== item);
    change(to === undefined ? others : others.toSpliced(to, 0, item), to === undefined ? null : item);
  };
  drawList(list, "turn", items, ({ id }) => id, (row, item) => {
    const at = items.indexOf(item);
    const [earlier, later, remove] = ["earlier", "later", "remove"].map((name) => part(row, name));
    fill(row, { name: item.name });
    for (const [button, to, label] of [
      [earlier, at - 1, "Ask earlier"],
      [later, at + 1, "Ask later"],
      [remove, undefined, "Do not ask first"],
    ]) {
      button.setAttribute("aria-label", `${label}: ${item.name}`);
      // Not `disabled`, which would take the focus away at the end of the list.
      const isEnd = to < 0 || to >= items.length;
      button.setAttribute("aria-disabled", String(isEnd));
      button.onclick = () => !isEnd && move(item, to);
    }
    makeDraggable(row, (ids) => {
      const to = ids.indexOf(item.id);
      if (to !== at) move(item, to);
    });
  });
}

export const sayOrder = (text) => (find("#heard").textContent = text);
