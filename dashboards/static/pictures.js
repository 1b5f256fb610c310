// Pictures of the best trial and of those asked for. They are decoded when they are looked at first.

const albumsOf = (() => {
  let parsed = null;
  return index => (parsed ??= JSON.parse(document.getElementById("pictures").textContent))[index];
})();

function drawPictures(sweep, element, panel) {
  const index = element.closest(".sweep").dataset.index, chosen = field(panel, "album").value;
  if (element.dataset.shown !== chosen) {
    element.dataset.shown = chosen;
    const { trial, pictures } = albumsOf(index)[chosen];
    element.replaceChildren(...pictures.map(picture => figureOf(picture, sweep.trials.number[trial])));
  }
  frames(element);
}

function figureOf({ heading, caption, alt, width, height, png }, number) {
  const figure = document.createElement("figure"), title = document.createElement("h3"), frame = document.createElement("div");
  const image = new Image(width, height), words = document.createElement("figcaption");
  title.textContent = heading;
  words.textContent = caption;
  image.alt = `${alt}; trial ${number}`;
  image.decoding = "async";
  image.src = `data:image/png;base64,${png}`;
  image.classList.toggle("wide", width > 640);
  frame.className = "frame";
  frame.append(image);
  figure.append(title, frame, words);
  return figure;
}

// A picture with small print keeps its size on a phone and is moved about, with the keyboard too.
function frames(element) {
  for (const frame of all(".frame", element)) {
    const scrolls = frame.scrollWidth > frame.clientWidth;
    scrolls ? frame.setAttribute("tabindex", "0") : frame.removeAttribute("tabindex");
    scrolls ? frame.setAttribute("role", "region") : frame.removeAttribute("role");
    frame.ariaLabel = scrolls ? frame.firstChild.alt : null;
  }
}
