"""The book of a soak finds whatever a broker may do wrong to a letter, and forgets those that are done."""

from __future__ import annotations

from tests.clients.ledger import Letter
from tests.soak.book import Book


def sent(book: Book, number: int, *queues: str, confirmed: bool = True) -> Letter:
    """A letter that has to be in each of the queues."""
    letter = Letter((1, number), tuple((queue,) for queue in queues))
    book.send(letter)
    if confirmed:
        book.confirm(letter)
    return letter


def kinds(book: Book) -> list[str]:
    """What is wrong when the book is closed."""
    return [finding.kind for finding in book.close()]


def test_letters_that_are_done_are_forgotten() -> None:
    book = Book()
    one, two = sent(book, 1, "a", "b"), sent(book, 2, "a", confirmed=False)
    for queue, letter in (("a", one), ("b", one), ("a", two)):
        assert book.take(queue, letter.body(10), False) is letter
        book.done(queue, letter)
    assert book.waiting() == 1
    book.confirm(two)
    assert book.waiting() == 0
    assert kinds(book) == []


def test_lost_and_unconfirmed() -> None:
    book = Book()
    book.done("a", sent(book, 1, "a", "b"))
    sent(book, 2, "a", confirmed=False)
    assert kinds(book) == ["lost", "unconfirmed"]


def test_twice_after_the_ack_and_before() -> None:
    book = Book()
    one, two = sent(book, 1, "a"), sent(book, 2, "a")
    book.take("a", one.body(10), False)
    book.done("a", one)
    assert book.take("a", one.body(10), True) is None
    book.take("a", two.body(10), False)
    book.take("a", two.body(10), False)
    book.done("a", two)
    assert kinds(book) == ["unknown", "unflagged", "disordered"]


def test_out_of_order_unless_it_comes_again() -> None:
    book = Book(frozenset({"b"}))
    letters = [sent(book, number, "a", "b") for number in (1, 2, 3)]
    for queue in "ab":
        book.take(queue, letters[1].body(10), False)
        book.take(queue, letters[0].body(10), queue == "a")
    book.take("a", letters[2].body(10), False)
    assert book.findings == []
    book.take("a", letters[0].body(10), False)
    assert {finding.kind for finding in book.findings} == {"unflagged", "disordered"}


def test_in_the_wrong_queue_and_corrupt() -> None:
    book = Book()
    one = sent(book, 1, "a")
    book.take("b", one.body(10), False)
    book.take("a", one.body(10)[:-1], False)
    book.done("a", one)
    assert kinds(book) == ["unknown", "corrupt"]
