// Pictures of the best trial and of those asked for. They are decoded when they are looked at first.

const albumsOf = (() => {
  let parsed = null;
  return index => (parsed ??= JSON.parse(document.getElementById("pictures").textContent))[index];
})();

function drawPictures(sweep, element, panel) {
  const index = element.closest(".sweep").dataset.index, chosen = field(panel, "album").value;
  if (element.dataset.shown === chosen) return;
  element.dataset.shown = chosen;
  const { trial, pictures } = albumsOf(index)[chosen];
  element.replaceChildren(...pictures.map(picture => figureOf(picture, sweep.trials.number[trial])));
}

function figureOf({ heading, caption, alt, width, height, png }, number) {
  const figure = document.createElement("figure"), title = document.createElement("h3");
  const image = new Image(width, height), words = document.createElement("figcaption");
  title.textContent = heading;
  words.textContent = caption;
  image.alt = `${alt}; trial ${number}`;
  image.decoding = "async";
  image.src = `data:image/png;base64,${png}`;
  figure.append(title, image, words);
  return figure;
}
