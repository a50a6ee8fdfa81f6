"""The books as one self-contained page."""

from processor.books import Books


def render_page(books: Books) -> str:
    """Return the page."""
    return str(books)
