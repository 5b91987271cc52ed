// A service worker with one duty: whoever loads a page while the studio is stopped reads so, instead of the browser's
// own error. It keeps nothing and answers nothing else; downloads never pass through it.
const PAGE = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>The studio is stopped</title>
<style>
:root { color-scheme: light dark; }
body { font: 1.05rem/1.55 system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh; margin: 0 1.2rem; }
main { max-width: 34rem; }
h1 { font-family: "Source Serif 4", Georgia, serif; }
code { font-size: 0.95em; }
</style></head><body><main><h1>The studio is stopped</h1>
<p>What was saved is kept, and a training is taken up again where it was.</p>
<p>Start the studio again where it was started before, with <code>make studio</code> or <code>understudy up</code>.
This page goes on by itself then.</p>
<p role="status" id="told">Looking for it…</p></main>
<script>
setInterval(async () => {
  try { if ((await fetch("/_stcore/health", { cache: "no-store" })).ok) location.reload(); } catch {}
}, 3000);
</script></body></html>`;

// A page is asked for while this worker starts, and what a page is made of does not pass through it where the browser
// can leave it out: else every page waits for the worker.
self.addEventListener("install", (event) => {
  event.waitUntil(event.addRoutes?.({ condition: { not: { requestMode: "navigate" } }, source: "network" }).catch(() => {}));
  self.skipWaiting();
});
self.addEventListener("activate", (event) => {
  event.waitUntil(Promise.all([self.clients.claim(), self.registration.navigationPreload?.enable()]));
});
self.addEventListener("fetch", (event) => {
  if (event.request.mode !== "navigate" || new URL(event.request.url).pathname.includes("/files/")) return;
  const headers = { "Content-Type": "text/html; charset=utf-8" };
  const ask = async () => (await event.preloadResponse) || fetch(event.request);
  event.respondWith(ask().catch(() => new Response(PAGE, { status: 503, headers })));
});
