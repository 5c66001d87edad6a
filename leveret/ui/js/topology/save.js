/** The graph as a self-contained SVG file: with the current colours and fonts, without links. */
const NAMESPACE = "http://www.w3.org/2000/svg";
const LOOKS = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity", "fill-opacity", "stroke-opacity", "font-family", "font-size", "font-weight", "text-anchor", "paint-order"];

/** The SVG text. scene: the root group. box: the visible area. */
export function asSvg(scene, box, title) {
  const canvas = scene.ownerSVGElement;
  const shown = canvas.getAttribute("class");
  canvas.classList.remove("far", "farthest");  // they hide small text
  try {
    return asNear(scene, box, title);
  } finally {
    canvas.setAttribute("class", shown);
  }
}

function asNear(scene, box, title) {
  const svg = document.createElementNS(NAMESPACE, "svg");
  svg.setAttribute("xmlns", NAMESPACE);
  svg.setAttribute("viewBox", `${box.x} ${box.y} ${box.width} ${box.height}`);
  svg.setAttribute("width", Math.round(box.width));
  svg.setAttribute("height", Math.round(box.height));
  const name = document.createElementNS(NAMESPACE, "title");
  name.textContent = title;
  const ground = document.createElementNS(NAMESPACE, "rect");
  for (const [key, value] of Object.entries({ ...box, fill: getComputedStyle(document.body).backgroundColor })) ground.setAttribute(key, value);
  svg.append(name, ground, plain(scene));
  return new XMLSerializer().serializeToString(svg);
}

function plain(element) {
  if (element.nodeType === Node.TEXT_NODE) return document.createTextNode(element.data.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "\ufffd"));
  const copy = document.createElementNS(NAMESPACE, element.localName === "a" ? "g" : element.localName);
  for (const key of ["d", "x", "y", "dx", "cx", "cy", "r", "rx", "width", "height"]) if (element.hasAttribute(key)) copy.setAttribute(key, element.getAttribute(key));
  if (element.hasAttribute("transform") && !element.classList.contains("scene")) copy.setAttribute("transform", element.getAttribute("transform"));
  const looks = getComputedStyle(element);
  for (const key of LOOKS) copy.setAttribute(key, looks.getPropertyValue(key));
  if (element.localName === "a") {
    const label = document.createElementNS(NAMESPACE, "title");
    label.textContent = element.getAttribute("aria-label").replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "\ufffd");
    copy.append(label);
  }
  for (const child of element.childNodes) {
    if (child.nodeType === Node.TEXT_NODE || (child.nodeType === Node.ELEMENT_NODE && isShown(child))) copy.append(plain(child));
  }
  return copy;
}

function isShown(element) {
  const looks = getComputedStyle(element);
  return looks.display !== "none" && !element.classList.contains("touch") && !element.classList.contains("ground");
}

/** Make the browser save a text as a file. */
export function download(text, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
