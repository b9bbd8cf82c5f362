"""Parts of a list: a page by its number, and a slice by the id that it follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import pytest

from api.http.envelope import Schema
from api.http.paging import CursorRequest, PageRequest


@dataclass(frozen=True)
class Row:
    """A row of a table, as far as a list needs it."""

    id: UUID


class Shown(Schema):
    """The answer's form of a row."""

    id: UUID


def rows(count: int) -> list[Row]:
    return [Row(UUID(int=number)) for number in range(1, count + 1)]


def read(total: int, limit: int) -> Iterator[tuple[list[UUID], UUID | None]]:
    """Every slice of a list of so many rows, as a client follows the cursors through it."""
    table, after = rows(total), None
    while True:
        request = CursorRequest(after, limit)
        found = [row for row in table if after is None or row.id > after][: request.wanted]
        answer = request.of(Shown, found)
        yield [one.id for one in answer.data], answer.meta.next_cursor
        if (after := answer.meta.next_cursor) is None:
            return


@pytest.mark.parametrize(
    ("page", "size", "offset"), [(1, 20, 0), (2, 20, 20), (10_000, 100, 999_900)]
)
def test_a_page_begins_behind_the_pages_before_it(page: int, size: int, offset: int) -> None:
    assert PageRequest(page, size).offset == offset


def test_a_page_says_which_it_is_and_of_how_many_things() -> None:
    answer = PageRequest(3, 2).of(["e"], 5)
    assert answer.data == ["e"]
    assert (answer.meta.page, answer.meta.page_size, answer.meta.total) == (3, 2, 5)


@pytest.mark.parametrize(
    ("total", "limit", "sizes"),
    [
        (0, 3, [0]),
        (1, 3, [1]),
        (3, 3, [3]),  # no empty slice at the end
        (4, 3, [3, 1]),
        (6, 3, [3, 3]),
        (7, 1, [1] * 7),
    ],
)
def test_cursors_lead_through_the_whole_list_once(total: int, limit: int, sizes: list[int]) -> None:
    slices = list(read(total, limit))
    assert [len(ids) for ids, _ in slices] == sizes
    assert [one for ids, _ in slices for one in ids] == [row.id for row in rows(total)]


def test_a_cursor_is_the_id_of_the_last_row_that_was_shown() -> None:
    answer = CursorRequest(None, 2).of(Shown, rows(3))
    assert answer.meta.next_cursor == UUID(int=2)
    assert answer.meta.limit == 2
    assert CursorRequest(None, 2).of(Shown, rows(2)).meta.next_cursor is None
