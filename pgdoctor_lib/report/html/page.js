
"use strict";
for (const box of document.querySelectorAll(".remedy")) {
  const button = document.createElement("button");
  const text = box.querySelector("pre");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text);
      button.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2500);
  });
  box.firstElementChild.append(button);
}
addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details:not(figure details)")) each.open = true;
});
