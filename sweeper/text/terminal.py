"""Texts in a terminal: no name or message moves its cursor, changes its colours or sets its title."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

KEPT = "\n\u200e"  # line breaks, and the mark that ends a name in Hebrew or Arabic


def printable(text: str) -> str:
    """The text with a blank for each character that is not printed, but for KEPT."""
    if text.isprintable():
        return text
    return "".join(character if character in KEPT or character.isprintable() else " " for character in text)


class Terminal(Console):
    """A console that prints what is printable of any text; its own colours and cursor moves are no part of the texts."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))
