"""A reliability diagram as a picture, by Pillow alone. Legend: B bins of confidence."""

from PIL import Image, ImageDraw

from sweeper.training.drawing import FONT, INK, MUTED, PAPER, cut, drawing_png, font
from sweeper.training.metrics import Reliability

BAR, GAP, DIAGONAL, RULE = "#2369a1", "#d55e00", "#626a75", "#e3e0d8"
WIDTH, HEIGHT, COUNTS = 480, 320, 80  # pixels: of the plot, and the height of the counts' below it
LEFT, TOP, BETWEEN, BOTTOM, RIGHT = 56, 34, 30, 44, 20
TWICE = 2  # drawn at twice the size and reduced, for smooth lines
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def reliability_diagram(title: str, bins: Reliability) -> bytes:
    """A PNG of accuracy by confidence, its gap to the diagonal in orange, and how many images are in each bin below.

    A dot is at a bin's mean confidence and accuracy: the gap is from there to the diagonal.
    """
    size = (LEFT + WIDTH + RIGHT, TOP + HEIGHT + BETWEEN + COUNTS + BOTTOM)
    page = Image.new("RGB", (size[0] * TWICE, size[1] * TWICE), PAPER)
    plot = _Plot(ImageDraw.Draw(page))
    plot.text(LEFT, 10, cut(title, WIDTH), "la", MUTED)
    plot.axes()
    _draw_accuracies(plot, bins)
    _draw_counts(plot, bins)
    return drawing_png(page.reduce(TWICE))


class _Plot:
    """A pen in the units of the diagram: pixels of the reduced picture, and confidences and accuracies in [0, 1]."""

    def __init__(self, pen: ImageDraw.ImageDraw) -> None:
        self.pen = pen

    def text(self, x: float, y: float, text: str, anchor: str, colour: str = INK, size: int = FONT) -> None:
        self.pen.text((x * TWICE, y * TWICE), text, colour, font(size * TWICE), anchor=anchor)

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: str, width: float = 1) -> None:
        points = [(x * TWICE, y * TWICE) for x, y in (start, end)]
        self.pen.line(points, colour, round(width * TWICE))

    def box(self, left: float, top: float, right: float, bottom: float, colour: str) -> None:
        if round(bottom * TWICE) > round(top * TWICE):
            self.pen.rectangle((left * TWICE, top * TWICE, right * TWICE - 1, bottom * TWICE - 1), colour)

    def dot(self, x: float, y: float, colour: str) -> None:
        self.pen.circle((x * TWICE, y * TWICE), 4 * TWICE, colour, PAPER, TWICE)

    def axes(self) -> None:
        for tick in TICKS:
            self.line((LEFT, accuracy_y(tick)), (LEFT + WIDTH, accuracy_y(tick)), RULE)
            self.text(LEFT - 6, accuracy_y(tick), f"{100 * tick:.0f} %", "rm", MUTED)
            self.text(confidence_x(tick), TOP + HEIGHT + BETWEEN + COUNTS + 6, f"{100 * tick:.0f} %", "ma", MUTED)
        self.text(LEFT + WIDTH / 2, TOP + HEIGHT + BETWEEN + COUNTS + 24, "confidence", "ma", MUTED)
        self.text(LEFT + 4, TOP + 4, "accuracy", "la", MUTED)


def confidence_x(confidence: float) -> float:
    return LEFT + WIDTH * confidence


def accuracy_y(accuracy: float) -> float:
    return TOP + HEIGHT * (1 - accuracy)


def _draw_accuracies(plot: _Plot, bins: Reliability) -> None:
    counts, confidences, accuracies = (part.tolist() for part in bins)
    for at, (count, accuracy) in enumerate(zip(counts, accuracies, strict=True)):
        if count:
            left, right = confidence_x(at / len(counts)) + 1, confidence_x((at + 1) / len(counts)) - 1
            plot.box(left, accuracy_y(accuracy), right, accuracy_y(0), BAR)
    plot.line((LEFT, accuracy_y(0)), (LEFT + WIDTH, accuracy_y(1)), DIAGONAL, 1.5)
    for count, confidence, accuracy in zip(counts, confidences, accuracies, strict=True):
        if count:
            x, y = confidence_x(confidence), accuracy_y(accuracy)
            plot.line((x, y), (x, accuracy_y(confidence)), GAP, 2)
            plot.dot(x, y, GAP)


def _draw_counts(plot: _Plot, bins: Reliability) -> None:
    counts = bins.count_B.tolist()
    bottom = TOP + HEIGHT + BETWEEN + COUNTS
    plot.line((LEFT, bottom), (LEFT + WIDTH, bottom), RULE)
    plot.text(LEFT + 4, TOP + HEIGHT + 8, "images", "la", MUTED)
    for at, count in enumerate(counts):
        if count:
            left, right = confidence_x(at / len(counts)) + 1, confidence_x((at + 1) / len(counts)) - 1
            top = bottom - max(1, (COUNTS - 14) * count / max(counts))
            plot.box(left, top, right, bottom, MUTED)
            plot.text((left + right) / 2, top - 2, str(count), "mb", MUTED, 10)
