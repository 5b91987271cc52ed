// Two things that Streamlit's page lacks: words for a studio that has stopped, over the page and (by the service worker
// of stopped_page.js) in its place after a refresh; and a phone's menu that closes after a choice.
if (!window.understudyConnection) {
  window.understudyConnection = true;
  const LOOK_MS = 4000;
  const PHONE_PX = 768;
  let missed = 0;
  let panel = null;
  const show = () => {
    if (panel) return;
    panel = document.createElement("div");
    panel.className = "u-stopped";
    panel.setAttribute("role", "alertdialog");
    panel.setAttribute("aria-labelledby", "u-stopped-title");
    const box = document.createElement("div");
    const part = (tag, text) => box.appendChild(Object.assign(document.createElement(tag), { textContent: text }));
    part("h1", "The studio is stopped").id = "u-stopped-title";
    part("p", "What was saved is kept, and a training is taken up again where it was.");
    part("p", "Start the studio again where it was started before: this page goes on by itself then.");
    const button = part("button", "Look at the page meanwhile");
    button.addEventListener("click", () => {
      panel.classList.add("u-stopped-small"); // Streamlit's own words stay away
    });
    panel.append(box);
    document.documentElement.append(panel); // not in the body, whose parts Streamlit's own dialog makes inert
    document.body.classList.add("u-is-stopped"); // hides Streamlit's own words, which speak of the internet
    button.focus();
  };
  const hide = () => {
    panel?.remove();
    panel = null;
    document.body.classList.remove("u-is-stopped");
  };
  const look = async () => {
    try {
      await fetch(new URL("_stcore/health", document.baseURI), { cache: "no-store" });
      missed = 0;
      hide();
    } catch {
      missed += 1;
      if (missed > 1) show();
    }
  };
  setInterval(() => document.visibilityState === "visible" && look(), LOOK_MS);
  if (navigator.serviceWorker) navigator.serviceWorker.register("stopped_page.js").catch(() => {});
  document.addEventListener("click", (event) => {
    if (window.innerWidth > PHONE_PX || !event.target.closest?.('[data-testid="stSidebarNavLink"]')) return;
    setTimeout(() => document.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click(), 100);
  });
}
