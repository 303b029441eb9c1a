// The retrain form: what the chosen recipe sets stands, in grey, in the fields that are left empty.

const choice = document.querySelector("select[name=recipe]");

function show() {
  const sets = JSON.parse(choice.selectedOptions[0]?.dataset.sets ?? "{}");
  for (const field of choice.form.querySelectorAll("input[type=number]")) field.placeholder = sets[field.name] ?? "";
}

if (choice) {
  choice.addEventListener("change", show);
  show();
}
