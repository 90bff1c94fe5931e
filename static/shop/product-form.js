// The product's form in the admin: a picture can be given to a variant whose SKU was just typed.
"use strict";

(() => {
  const SKUS = 'input[name^="variants-"][name$="-sku"]';
  const CHOICES = 'select[name^="pictures-"][name$="-variant_sku"]';

  function refresh() {
    const fields = [...document.querySelectorAll(SKUS)].filter((field) => !field.name.includes("__prefix__"));
    const typed = new Set(fields.map((field) => field.value.trim()).filter(Boolean));
    for (const choice of document.querySelectorAll(CHOICES)) {
      for (const option of [...choice.options])
        if (option.dataset.typed && !option.selected && !typed.has(option.value)) option.remove();
      const offered = new Set([...choice.options].map((option) => option.value));
      for (const sku of typed) {
        if (offered.has(sku)) continue;
        const option = new Option(sku, sku);
        option.dataset.typed = "yes";
        choice.add(option);
      }
    }
  }

  document.addEventListener("input", (event) => event.target.matches(SKUS) && refresh());
  document.addEventListener("formset:added", refresh);
})();
