// A signature drawn with finger, pen or mouse: a PNG in the form's hidden field.
"use strict";
for (const canvas of document.querySelectorAll("[data-sign]")) {
  const pen = canvas.getContext("2d");
  const kept = canvas.parentElement.querySelector("input[name=drawn]");
  let drawing = false;

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
  }

  function clear() {
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    Object.assign(pen, { lineWidth: 3, lineCap: "round", lineJoin: "round", strokeStyle: "#111" });
    kept.value = "";
  }

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    drawing = true;
    pen.beginPath();
    pen.moveTo(...place(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drawing) return;
    pen.lineTo(...place(event));
    pen.stroke();
  });
  canvas.addEventListener("pointerup", () => {
    drawing = false;
    kept.value = canvas.toDataURL("image/png");
  });
  canvas.parentElement.querySelector("[data-sign-again]").addEventListener("click", clear);
  clear();
}
