// Streamlit saves a field on blur. When the page is refreshed or closed while a field is edited, or a moment after, the
// page no longer runs and the text would be lost, so it is sent as a beacon to the studio's own route (autosave.py).
if (!window.understudyAutosave) {
  window.understudyAutosave = true;
  const RECENT_MS = 1500;
  let left = [];
  const fieldOf = (field) => {
    const box = field?.closest?.('[class*="st-key-text-"], [class*="st-key-caption-"], [class*="st-key-words-"]');
    const key = box && [...box.classList].find((name) => name.startsWith("st-key-"));
    return key && "value" in field ? { key: key.slice("st-key-".length), value: field.value, at: Date.now() } : null;
  };
  document.addEventListener("focusout", (event) => {
    const field = fieldOf(event.target);
    left = left.filter((one) => Date.now() - one.at < RECENT_MS);
    if (field) left.push(field);
  });
  window.addEventListener("pagehide", () => {
    const open = fieldOf(document.activeElement);
    const recent = left.filter((one) => Date.now() - one.at < RECENT_MS && one.key !== open?.key);
    for (const { key, value } of open ? [...recent, open] : recent) {
      navigator.sendBeacon("keep", JSON.stringify({ key, value }));
    }
  });
}
