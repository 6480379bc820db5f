// Keeps an open page fresh: asks for the same page again, swaps the parts marked data-live that changed.
// Without JavaScript every page works; one reloads it.
"use strict";

(() => {
  const every = Number(document.body.dataset.poll) || 4000;
  const link = document.querySelector("[data-live-link]");
  let etag = null;
  let failures = 0;
  let timer = null;
  let fresh = new Date();

  const clock = (date) => date.toLocaleTimeString("zh-CN", { hour12: false });

  // The option that a list shows when none is marked: showing it is no choice.
  const firstOf = (option) => option.index === 0 && ![...option.closest("select").options].some((each) => each.defaultSelected);

  // What a person is using stays: a field with focus or with text in it, an open choice.
  const inUse = (part) => {
    if (part.dataset.live !== "idle") return false;
    if (part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) return true;
    return [...part.querySelectorAll("input, textarea, option")].some((field) =>
      field.localName === "option" ? field.selected !== field.defaultSelected && !firstOf(field)
        : ["radio", "checkbox"].includes(field.type) ? field.checked !== field.defaultChecked
          : field.type !== "hidden" && field.value !== field.defaultValue);
  };

  const swap = (old, next) => {
    if (old.innerHTML === next.innerHTML || inUse(old)) return;
    const open = new Set([...old.querySelectorAll("details[id][open]")].map((each) => each.id));
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const place = focused && [...old.querySelectorAll("a, button")].indexOf(focused);
    old.replaceChildren(...next.childNodes);
    old.className = next.className;
    for (const each of old.querySelectorAll("details[id]")) if (open.has(each.id)) each.open = true;
    if (focused && place >= 0) old.querySelectorAll("a, button")[place]?.focus({ preventScroll: true });
  };

  const show = (text) => {
    if (!link) return;
    link.hidden = !text;
    link.textContent = text;
  };

  const refresh = async () => {
    const url = new URL(location.href);
    url.searchParams.delete("done");
    const headers = { "X-Wenxun-Live": "1" };
    if (etag) headers["If-None-Match"] = etag;
    const response = await fetch(url, { headers, cache: "no-store", redirect: "error", signal: AbortSignal.timeout(10000) });
    if (response.status === 401) { location.reload(); return; }
    if (response.status !== 304) {
      if (!response.ok) throw new Error(String(response.status));
      etag = response.headers.get("ETag");
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      document.title = page.title;
      for (const part of document.querySelectorAll("[data-live][id]")) {
        const next = page.getElementById(part.id);
        if (next) swap(part, next);
      }
    }
    fresh = new Date();
    failures = 0;
    show("");
  };

  const tick = async () => {
    clearTimeout(timer);
    try {
      if (!document.hidden) await refresh();
    } catch {
      failures += 1;
      if (failures > 1) show(`连接中断，显示的是 ${clock(fresh)} 的内容`);
    }
    timer = setTimeout(tick, Math.min(every * 2 ** Math.max(0, failures - 1), 30000));
  };

  document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });
  addEventListener("online", () => tick());
  // A second click on the same button is not a second form.
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "1";
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) for (const form of document.forms) delete form.dataset.sent;
  });
  // Buttons that need a script are shown by it.
  for (const button of document.querySelectorAll("[data-print], [data-copy]")) button.hidden = false;
  const copy = async (from) => {
    try {
      await navigator.clipboard.writeText(from.value);
      return "已复制";
    } catch {
      from.focus();
      from.select();
      return document.execCommand("copy") ? "已复制" : "已全选，请按复制键";
    }
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-print], [data-copy]");
    if (!button) return;
    if ("print" in button.dataset) { print(); return; }
    const said = await copy(document.getElementById(button.dataset.copy));
    document.querySelector("[data-copied]").textContent = said;
  });
  if (location.search.includes("done=")) {
    const url = new URL(location.href);
    url.searchParams.delete("done");
    history.replaceState(null, "", url);
  }
  if (document.querySelector("[data-live][id]")) timer = setTimeout(tick, every);
})();
