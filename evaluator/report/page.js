// The sample browser. Its state lives in the address after '#', so that a filtered view can be sent to a colleague.
"use strict";
(() => {
  const { groups, items, total } = JSON.parse(document.getElementById("data").textContent);
  const element = (id) => document.getElementById(id);
  const controls = ["show", "group", "against", "task", "search"].map(element);
  const PAGE = 25;
  let shown = PAGE;

  const create = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const taskOf = (item) => `${item.suite}: ${item.task}`;
  const outcome = (item, group) => (item.answers[group] || [])[0];

  const score = (item, group) => (item.answers[group] || [])[3];
  const label = (item, group) => outcome(item, group) === "partial" ? `partial ${score(item, group)}` : outcome(item, group);

  function fill(select, values) {
    for (const value of values) select.append(new Option(value, value));
  }

  function matches(item, { show, group, against, task, search }) {
    const ours = outcome(item, group), theirs = outcome(item, against);
    if (ours === undefined) return false;
    if (task !== "all tasks" && taskOf(item) !== task) return false;
    if (show === "fixed" && !(theirs !== undefined && score(item, group) > score(item, against))) return false;
    if (show === "broken" && !(theirs !== undefined && score(item, group) < score(item, against))) return false;
    if (show === "unparsed" && ours !== "unparsed") return false;
    if (!search) return true;
    const text = [item.prompt, item.target, ...Object.values(item.answers).map((answer) => answer[1])].join("\n");
    return text.toLowerCase().includes(search.toLowerCase());
  }

  // A prompt's own words: between the markers of the instruction template where it has them, else its end.
  function question(prompt) {
    const parts = prompt.split("### Instruction:");
    const own = parts.length > 1 ? parts[parts.length - 1].split("### Response:")[0] : prompt.slice(-400);
    return own.replace(/\s+/g, " ").trim();
  }

  function entry(item) {
    const row = create("li"), details = create("details"), summary = create("summary"), chips = create("span", "chips");
    summary.append(create("span", "question", question(item.prompt)));
    chips.append(create("span", "", `${item.task} ${item.item}`));
    for (const group of groups.filter((name) => item.answers[name])) {
      chips.append(create("span", `chip ${outcome(item, group)}`, `${group} ${label(item, group)}`));
    }
    summary.append(chips);
    details.append(summary);
    details.addEventListener("toggle", () => { if (details.open && details.children.length === 1) details.append(full(item)); });
    row.append(details);
    return row;
  }

  function full(item) {
    const body = create("div", "full");
    const part = (title, text) => body.append(create("h4", "", title), create("pre", "", text));
    part("prompt", item.prompt);
    part("right answer", item.target);
    for (const group of groups.filter((name) => item.answers[name])) {
      const [, output, parsed] = item.answers[group];
      part(`${group}: ${label(item, group)}${parsed === null ? "" : `, read as “${parsed}”`}`, output || "(nothing)");
    }
    return body;
  }

  function state() {
    return Object.fromEntries(controls.map((control) => [control.id, control.value]));
  }

  function render() {
    const found = items.filter((item) => matches(item, state()));
    element("samples").replaceChildren(...found.slice(0, shown).map(entry));
    const left = total > items.length ? ` The page holds ${items.length} of ${total}: first those that differ or are unparsed; the rest is in samples.jsonl.` : "";
    element("count").textContent = `${found.length} of ${items.length} answers.${left}`;
    element("more").hidden = found.length <= shown;
  }

  function restore() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    for (const control of controls) if (wanted.has(control.id)) control.value = wanted.get(control.id);
  }

  function changed() {
    shown = PAGE;
    history.replaceState(null, "", `#${new URLSearchParams(Object.entries(state()).filter(([, value]) => value))}`);
    render();
  }

  fill(element("group"), groups);
  fill(element("against"), groups);
  fill(element("task"), ["all tasks", ...new Set(items.map(taskOf))]);
  element("group").value = groups[groups.length - 1];
  element("against").value = groups[Math.max(0, groups.length - 2)];
  for (const control of controls) control.addEventListener("input", changed);
  element("more").addEventListener("click", () => { shown += PAGE; render(); });
  addEventListener("hashchange", () => { restore(); shown = PAGE; render(); });
  restore();
  render();
})();
