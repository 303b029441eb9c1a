// The retrain form: when to take the chosen recipe, and what it sets stands, in grey, in the fields that are left empty.

const choice = document.querySelector("select[name=recipe]");
const hint = choice && document.getElementById(`${choice.id}_helptext`);
const always = hint?.textContent;

function show() {
  const { sets = "{}", when = "" } = choice.selectedOptions[0]?.dataset ?? {};
  const values = JSON.parse(sets);
  for (const field of choice.form.querySelectorAll("input[type=number]")) field.placeholder = values[field.name] ?? "";
  hint.textContent = `For ${when}. ${always}`;
}

if (hint) {
  choice.addEventListener("change", show);
  show();
}
