// Keeps what is typed, as it is typed, and what is pressed. Streamlit hears of a field when it is left; a refresh, a
// closed tab or a studio that is stopped would lose the rest. So every text goes to the studio's own route (autosave.py)
// a moment after the last key, with the text that it was edited from, and stays in the browser's storage until the
// studio has answered. Only fields that were edited on this page are sent.
if (!window.understudyAutosave) {
  window.understudyAutosave = true;
  const QUIET_MS = 250; // after the last key
  const LATEST_MS = 1000; // of typing without a pause
  const RETRY_MS = [1000, 2000, 5000];
  const BEACON_CHARS = 15000; // browsers send no more than 64 KiB from a page that goes
  const STORE = "understudy-typed|"; // in front of each entry's name: tabs write their own and no other's
  const NAME = /^st-key-((?:text|caption|words|scene|fact)-[0-9a-f]{32}-.+)$/;

  // ---------------------------------------------------------------- what is not yet answered

  const journal = {};
  const sent = new Map(); // name -> number on its way
  try {
    for (const name of Object.keys(localStorage)) {
      if (name.startsWith(STORE)) journal[name.slice(STORE.length)] = JSON.parse(localStorage.getItem(name));
    }
  } catch {
    // a browser without storage keeps it in the page
  }
  const remember = (name) => {
    try {
      if (journal[name]) localStorage.setItem(STORE + name, JSON.stringify(journal[name]));
      else if (JSON.parse(localStorage.getItem(STORE + name))?.number === sent.get(name)) {
        localStorage.removeItem(STORE + name);
      }
    } catch {
      // full or forbidden: the page still holds it
    }
  };
  const tabName = () => {
    const box = document.querySelector('[class*="st-key-tab-"]');
    return box ? [...box.classList].find((name) => name.startsWith("st-key-tab-")).slice("st-key-tab-".length) : "";
  };

  // The studio believes an emptied field only from this script (actions/typed.py), so it tells that it is here.
  let told = "";
  setInterval(async () => {
    const tab = tabName();
    if (!tab || tab === told) return;
    told = tab;
    const answer = await fetch("keep", { method: "POST", body: JSON.stringify({ tab }) }).catch(() => null);
    if (!answer?.ok && told === tab) told = "";
  }, 100);

  // ---------------------------------------------------------------- fields

  const fields = new Map(); // key -> {base, last, timer, first, wants}
  const keyOf = (element) => {
    if (!element || !("value" in element) || !element.matches?.("input, textarea")) return "";
    for (let box = element; box; box = box.parentElement?.closest('[class*="st-key-"]')) {
      for (const name of box.classList) {
        const found = NAME.exec(name);
        if (found) return found[1];
      }
    }
    return "";
  };
  const stateOf = (key, value) => {
    if (!fields.has(key)) fields.set(key, { base: value, last: value, timer: 0, first: 0, wants: false });
    return fields.get(key);
  };
  // What a field held before it is touched is what the edit starts from. It may have changed under the cursor.
  const before = (event) => {
    const key = keyOf(event.target);
    if (!key) return;
    const state = stateOf(key, event.target.value);
    if (state.last !== event.target.value) {
      state.base = event.target.value;
      state.last = event.target.value;
    }
  };
  document.addEventListener("focusin", before, true);
  document.addEventListener("beforeinput", before, true);
  document.addEventListener("input", (event) => typed(event.target), true);
  document.addEventListener("focusout", (event) => {
    const key = keyOf(event.target);
    if (!key) return;
    flush(key);
    if (fields.get(key)?.wants) look();
  }, true);

  // A field that is made anew while somebody writes in it gets back their words, the cursor and the focus; keys that come
  // while there is no field are added to the words.
  const GAP_MS = 5000; // so long such a field is waited for
  let writing = null; // {key, element, value, from, to (what is selected), isTyped, lostAt}
  const noteWriting = (element, isTyped) => {
    const key = keyOf(element);
    if (!key) return;
    const { value, selectionStart: from, selectionEnd: to } = element;
    writing = { key, element, value, from, to, isTyped, lostAt: 0 };
  };
  const putIn = (text, from, to) => {
    const { value } = writing;
    Object.assign(writing, { value: value.slice(0, from) + text + value.slice(to), from: from + text.length });
    Object.assign(writing, { to: writing.from, isTyped: true });
  };
  const isLost = () => {
    if (!writing?.lostAt) return false;
    const held = document.activeElement;
    if ((held && held !== document.body) || Date.now() - writing.lostAt > GAP_MS) writing = null;
    return Boolean(writing);
  };
  document.addEventListener("focusin", (event) => noteWriting(event.target, false));
  document.addEventListener("input", (event) => noteWriting(event.target, true));
  document.addEventListener("selectionchange", () => {
    if (writing && document.activeElement === writing.element) noteWriting(writing.element, writing.isTyped);
  });
  document.addEventListener("focusout", (event) => {
    // Told also of a field that is taken away, while it still stands there: the observer below hears of that first.
    const left = event.target;
    setTimeout(() => {
      if (left === writing?.element && !writing.lostAt) writing = null;
    });
  });
  document.addEventListener("keydown", (event) => {
    if (!isLost()) return;
    const { from, to, value } = writing;
    const isCommand = event.ctrlKey || event.metaKey;
    const isWord = event.key.length === 1 && !isCommand && !event.altKey;
    if (isWord) putIn(event.key, from, to);
    else if (event.key === "Enter" && writing.element instanceof HTMLTextAreaElement) putIn("\n", from, to);
    else if (event.key === "Backspace") putIn("", from === to ? Math.max(0, from - 1) : from, to);
    else if (isCommand && event.key === "a") Object.assign(writing, { from: 0, to: value.length });
    else {
      if (event.key === "Tab" || event.key === "Escape") writing = null;
      return;
    }
    event.preventDefault();
  }, true);
  document.addEventListener("pointerdown", () => isLost() && (writing = null), true);
  new MutationObserver((changes) => {
    const isTaken = (change) => [...change.removedNodes].some((node) => node.contains(writing.element));
    if (writing && !writing.lostAt && changes.some(isTaken)) writing.lostAt = Date.now(); // also when it is only moved
    if (!isLost()) return;
    const { key, value, from, to, isTyped } = writing;
    const box = document.querySelector(`.${CSS.escape(`st-key-${key}`)}`);
    const found = box?.querySelector("input, textarea");
    if (!found) return;
    found.focus();
    if (isTyped && found.value !== value) fill(found, value); // else the newer text of another tab stays
    found.setSelectionRange(from, to);
    noteWriting(found, isTyped);
  }).observe(document.documentElement, { childList: true, subtree: true });

  let counter = 0;
  function typed(element) {
    const key = keyOf(element);
    if (!key) return;
    const state = stateOf(key, element.defaultValue ?? "");
    if (element.value === state.last) return;
    state.last = element.value;
    counter = Math.max(counter + 1, Date.now());
    const tab = tabName();
    journal[`${tab}|${key}`] = { key, value: element.value, base: state.base, tab, number: counter };
    remember(`${tab}|${key}`);
    const now = Date.now();
    if (!state.timer) state.first = now;
    clearTimeout(state.timer);
    state.timer = setTimeout(() => flush(key), Math.max(0, Math.min(QUIET_MS, state.first + LATEST_MS - now)));
  }
  function flush(key) {
    const state = fields.get(key);
    if (state) {
      clearTimeout(state.timer);
      state.timer = 0;
    }
    for (const name of Object.keys(journal)) if (journal[name].key === key) send(name, 0);
  }

  async function send(name, tries) {
    const entry = journal[name];
    if (!entry || sent.get(name) === entry.number) return;
    sent.set(name, entry.number);
    let answer = null;
    try {
      answer = await fetch("keep", { method: "POST", body: JSON.stringify(entry) });
    } catch {
      // no studio just now
    }
    if (!answer || answer.status >= 500) {
      if (sent.get(name) === entry.number) sent.delete(name);
      setTimeout(() => send(name, tries + 1), RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]);
      return;
    }
    const told = answer.ok ? await answer.json().catch(() => ({})) : { state: "refused" };
    const state = fields.get(entry.key);
    if (journal[name]?.number === entry.number) {
      delete journal[name];
      remember(name);
    }
    if (sent.get(name) === entry.number) sent.delete(name);
    if (told.state === "kept" && state) state.base = entry.value;
    const open = keyOf(document.activeElement) === entry.key;
    if (told.state === "kept" && !open && !journal[name]) {
      // The page may have been drawn from the text of a moment before.
      const shown = document.querySelector(`.${CSS.escape(`st-key-${entry.key}`)}`)?.querySelector("input, textarea");
      if (shown && shown.value !== entry.value) told.look = true;
    }
    if (told.look || told.state === "clash" || told.state === "gone" || !state) {
      if (open && state && !told.look) state.wants = true;
      else look();
    }
  }

  // Streamlit draws the page anew: a clash, a new row, or a text that an earlier page had left behind.
  let looking = 0;
  function look() {
    clearTimeout(looking);
    const button = document.querySelector(".st-key-look-again button");
    if (button && mayAsk()) button.click();
    else looking = setTimeout(look, 200);
    for (const state of fields.values()) state.wants = false;
  }
  const isStill = () => document.querySelector("[data-testid=stApp]")?.dataset.testScriptState === "notRunning";

  // When the page may ask for a run on its own. Not while one is at work, nor when a press, or going back, has just asked
  // for one that has not been seen yet: it may hold a press which it has not come to, or be about to change the address,
  // and this request would still carry the old one. And not while a dialog is open, which a run would close.
  const AWAITED_MS = 2000;
  const STILL_MS = 300; // what a run has sent is on the page a moment after its end
  let pressedAt = -Infinity;
  let stillSince = Date.now();
  const mayAsk = () => isStill() && Date.now() - stillSince >= STILL_MS && Date.now() - pressedAt >= AWAITED_MS &&
    !document.querySelector("[role=dialog]");
  const awaitRun = (event) => {
    if (!event.target.closest?.(".st-key-autosave")) pressedAt = Date.now();
  };
  for (const kind of ["click", "change"]) document.addEventListener(kind, awaitRun, true);
  window.addEventListener("popstate", awaitRun, true);
  new MutationObserver(() => {
    if (isStill()) stillSince = Date.now();
    else pressedAt = -Infinity;
  }).observe(document.documentElement, { subtree: true, attributeFilter: ["data-test-script-state"] });

  // A request that left the page before it heard of its new address is answered with the old one's page. The browser's
  // address is the right one: where the page was drawn from another, it is drawn anew, once.
  const addressOf = (text) => [...new URLSearchParams(text)].map(([name, value]) => `${name}=${value}`).sort().join("&");
  let differs = { pair: "", since: 0, isAsked: false };
  let news = ""; // of a part of the page that draws itself (widgets.draw_anew)
  setInterval(() => {
    const told = document.querySelector("[data-news]")?.dataset.news;
    if (told && told !== news && mayAsk()) {
      news = told;
      document.querySelector(".st-key-look-again button")?.click();
      return;
    }
    const drawn = document.querySelector("[data-address]");
    const pair = drawn && mayAsk() ? `${addressOf(drawn.dataset.address)} ${addressOf(location.search)}` : "";
    if (pair && pair !== differs.pair) differs = { pair, since: Date.now(), isAsked: false };
    const [from, now] = pair.split(" ");
    if (!pair || from === now || differs.isAsked || Date.now() - differs.since < STILL_MS) return;
    differs.isAsked = true;
    document.querySelector(".st-key-look-again button")?.click();
  }, 100);

  const leave = () => {
    for (const entry of Object.values(journal)) {
      if (entry.value.length + entry.base.length < BEACON_CHARS) navigator.sendBeacon("keep", JSON.stringify(entry));
    }
  };
  window.addEventListener("pagehide", leave);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") leave();
    else look(); // somebody comes back to a tab: what was written elsewhere is shown before it is edited here
  });
  for (const name of Object.keys(journal)) send(name, 0);

  // ---------------------------------------------------------------- a message that is not sent yet

  const CHAT = "[data-testid=stChatInputTextArea]";
  const CARRY_MS = 15000; // after a first message: how long its page may take to become that of the new conversation
  const chatName = () => {
    const of = new URLSearchParams(location.search);
    return `understudy-chat:${of.get("conversation") || of.get("character") || ""}`;
  };
  let chat = null;
  let message = null; // { name, field, text, until } of the message that was sent last, while its page may still change
  setInterval(() => {
    const field = document.querySelector(CHAT);
    try {
      if (message) follow();
      if (field && field !== chat) {
        const kept = sessionStorage.getItem(chatName());
        if (field.disabled) return;
        if (kept && !field.value) fill(field, kept);
      } else if (field && field.value) sessionStorage.setItem(chatName(), field.value);
      else if (field) sessionStorage.removeItem(chatName());
    } catch {
      // without storage a message is lost with its page
    }
    chat = field;
  }, 100);
  document.addEventListener("input", (event) => {
    if (event.target.matches?.(CHAT) && event.target.value) {
      try {
        sessionStorage.setItem(chatName(), event.target.value);
      } catch {
        // as above
      }
    }
  }, true);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.target.matches?.(CHAT)) sentFrom(event.target);
  }, true);
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-testid=stChatInputSubmitButton]")) sentFrom(document.querySelector(CHAT));
  }, true);
  function sentFrom(field) {
    if (field?.value.trim()) message = { name: chatName(), field, text: field.value, until: Date.now() + CARRY_MS };
  }
  // What was sent is no draft any more. What is typed behind it goes along when the page becomes that of the new
  // conversation: its address, and so the name of what is kept, changes only then.
  function follow() {
    const gone = !message.field.isConnected || message.field.value !== message.text;
    if (gone && sessionStorage.getItem(message.name) === message.text) sessionStorage.removeItem(message.name);
    const name = chatName();
    if (name !== message.name) {
      const isBegun = new URLSearchParams(location.search).has("conversation");
      const typed = sessionStorage.getItem(message.name);
      if (isBegun) sessionStorage.removeItem(message.name);
      if (isBegun && typed && typed !== message.text && !sessionStorage.getItem(name)) sessionStorage.setItem(name, typed);
      message = null;
    } else if (Date.now() > message.until) message = null;
  }
  function fill(field, text) {
    const kind = field instanceof HTMLTextAreaElement ? HTMLTextAreaElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(field, text);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  // ---------------------------------------------------------------- a press while the page changes

  // The page may be drawn anew between a button's down and up: its place moves, or its node is another one. Then no
  // click comes of it, and the press would be lost.
  const MOVED_PX = 8;
  let press = null;
  document.addEventListener("pointerdown", (event) => {
    const button = event.isPrimary && event.button === 0 ? event.target.closest?.("button") : null;
    const box = button?.closest('[class*="st-key-"]');
    const key = box && [...box.classList].find((name) => name.startsWith("st-key-"));
    press = button && !button.disabled
      ? { button, key, label: button.textContent, x: event.clientX, y: event.clientY, clicked: false }
      : null;
  }, true);
  document.addEventListener("click", (event) => {
    if (press && event.target.closest?.("button")) press.clicked = true;
  }, true);
  document.addEventListener("pointercancel", () => (press = null), true);
  document.addEventListener("pointerup", (event) => {
    const one = press;
    if (!one || Math.hypot(event.clientX - one.x, event.clientY - one.y) > MOVED_PX) return;
    setTimeout(() => {
      if (one.clicked) return;
      const same = (button) => button.textContent === one.label && !button.disabled;
      const found = one.button.isConnected
        ? one.button
        : [...document.querySelectorAll(one.key ? `.${CSS.escape(one.key)} button` : "button")].find(same);
      if (found && !found.disabled) found.click();
    }, 50);
  }, true);

  // ---------------------------------------------------------------- a page that says for ever that it runs

  // Rarely a run's end does not reach the page. Asking for another run brings a new one; else the page is loaded anew.
  // A run that the studio knows of is left to its work: it may be reading what was uploaded.
  const STUCK_MS = 20000;
  const RELOAD_EVERY_MS = 120000;
  let since = 0;
  let asked = false;
  setInterval(async () => {
    const now = Date.now();
    if (isStill() || document.visibilityState === "hidden") {
      since = 0;
      asked = false;
      return;
    }
    since ||= now;
    if (now - since < STUCK_MS) return;
    if (!asked) {
      const answer = await fetch("keep", { method: "POST", body: JSON.stringify({ tab: tabName() }) }).catch(() => null);
      const told = answer?.ok ? await answer.json().catch(() => null) : null;
      if (!told || told.at_work || isStill()) return;
      asked = true;
      document.querySelector(".st-key-look-again button")?.click();
      return;
    }
    if (now - since >= 2 * STUCK_MS) loadAnew(RELOAD_EVERY_MS);
  }, 1000);
  async function loadAnew(everyMs) {
    if (Date.now() - Number(sessionStorage.getItem("understudy-reload") || 0) < everyMs) return;
    const health = await fetch("_stcore/health").catch(() => null);
    if (!health?.ok || isStill()) return;
    sessionStorage.setItem("understudy-reload", String(Date.now()));
    location.reload();
  }

  // A fault in Streamlit's own page leaves nothing of it, a white page. What was typed is kept in storage by then.
  const EMPTY_MS = 1000;
  const EMPTY_EVERY_MS = 10000;
  let wasDrawn = false;
  let emptySince = 0;
  setInterval(() => {
    const isDrawn = Boolean(document.getElementById("root")?.childElementCount);
    wasDrawn ||= isDrawn;
    emptySince = isDrawn || !wasDrawn ? 0 : emptySince || Date.now();
    if (emptySince && Date.now() - emptySince >= EMPTY_MS) loadAnew(EMPTY_EVERY_MS);
  }, 250);
}
