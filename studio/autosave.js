// A field is saved when it is left. Whoever refreshes or closes the tab while writing, or a moment after, would lose
// those words: a page that goes away no longer runs. So they are sent to the studio's own route (keep.py) instead.
if (!window.understudyKeeps) {
  window.understudyKeeps = true;
  const RECENT_MS = 1500;
  let left = [];
  const written = (field) => {
    const box = field?.closest?.('[class*="st-key-text-"], [class*="st-key-caption-"], [class*="st-key-words-"]');
    const key = box && [...box.classList].find((name) => name.startsWith("st-key-"));
    return key && "value" in field ? { key: key.slice("st-key-".length), value: field.value, at: Date.now() } : null;
  };
  document.addEventListener("focusout", (event) => {
    const field = written(event.target);
    left = left.filter((one) => Date.now() - one.at < RECENT_MS);
    if (field) left.push(field);
  });
  window.addEventListener("pagehide", () => {
    const open = written(document.activeElement);
    const recent = left.filter((one) => Date.now() - one.at < RECENT_MS && one.key !== open?.key);
    for (const { key, value } of open ? [...recent, open] : recent) {
      navigator.sendBeacon("keep", JSON.stringify({ key, value }));
    }
  });
}
