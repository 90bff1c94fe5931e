// The shop works without this file: it only fills in the number beside the cart and spares a second click.
(() => {
  const found = document.cookie.match(/(?:^|; )cart_count=(\d{1,6})(?:;|$)/);
  const badge = document.querySelector("[data-cart-badge]");
  if (badge && found && Number(found[1]) > 0) {
    badge.textContent = Number(found[1]) > 999 ? "999+" : found[1];
    badge.hidden = false;
  }
  // once an address was typed, a cookie names its prefecture: the product page tells the delivery to there
  const arrival = document.querySelector("[data-arrival]");
  const destination = document.cookie.match(/(?:^|; )destination=([\d-]{1,12})(?:;|$)/);
  if (arrival && destination) {
    fetch(`${arrival.dataset.arrival}?to=${destination[1]}`)
      .then((answer) => (answer.ok ? answer.text() : ""))
      .then((text) => { if (text) arrival.outerHTML = text; })
      .catch(() => {}); // the delivery to Honshu stays
  }
  // an error summary takes the focus, so that a screen reader begins there
  document.querySelector("[data-focus]")?.focus();
  // one click is enough; the server keeps two clicks one order besides
  for (const form of document.querySelectorAll("form[data-once]")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) event.preventDefault();
      form.dataset.sent = "1";
    });
  }
  // back from Stripe's page the browser may show this page as it was left: sendable again
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-once]")) delete form.dataset.sent;
  });
})();
