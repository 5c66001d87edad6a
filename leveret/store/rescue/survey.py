"""Survey: walk all trees of a database file, to find the pages in use and to account for every page.

The walk follows pointers between pages as long as the map agrees. It does not read overflow pages, but counts them. In
an intact file, each page is accounted for exactly once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from leveret.store.files import make_private
from leveret.store.rescue.pages import (
    FREE,
    LEAF_TABLE,
    LOCK_PAGE,
    MAGIC,
    MAP_PAGES,
    ROOT,
    TREE,
    BadPage,
    PageFile,
    TreePage,
)
from leveret.store.schema import FORMAT, PAGE_BYTES

MAX_PROBLEMS: Final = 20
LAST_ID: Final = (1 << 63) - 1
MAX_FORMAT: Final = FORMAT + 1000  # a higher number is damage

UNSEEN: Final = 0  # marks of pages
SEEN: Final = 1
LEAF: Final = 2  # of a table
UNUSED: Final = 3


class Survey:
    """The result of the walk. marks: by page number. problems: inconsistencies, at most MAX_PROBLEMS.

    has_list: whether all free pages are known.
    """

    def __init__(self, file: PageFile) -> None:
        self.marks = bytearray(file.count + 1)
        self.problems: list[str] = []
        self.has_list = True
        self._file = file
        self._counted = 0
        if not file.count:
            return
        for root in sorted({1, *self._tree(1, 0)}):
            if root != 1:
                self._tree(root, 0)
        self._free_pages()
        maps = len(range(2, file.count + 1, MAP_PAGES + 1)) if file.has_map else 0
        total = self._counted + maps + (1 if file.count >= LOCK_PAGE else 0)
        if total != file.count:
            self._tell(f"{file.count} pages, but {total} of them are accounted for")

    def _tell(self, problem: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)

    def _tree(self, root: int, parent: int) -> set[int]:
        """Walk a tree. Returns: the roots of the other trees, if it is the schema's."""
        roots: set[int] = set()
        stack = [(root, parent, -1, LAST_ID)]
        while stack:
            number, parent, above, last = stack.pop()
            try:
                page = self._visit(number, parent, above, last)
            except BadPage as error:
                self._tell(str(error))
                continue
            for at, child in enumerate(page.children):
                if at < len(page.keys):
                    stack.append((child, number, above, page.keys[at]))
                    above = page.keys[at]
                else:
                    stack.append((child, number, above, last))
            if root == 1 and page.kind == LEAF_TABLE:
                roots.update(self._roots(page))
        return roots

    def _visit(self, number: int, parent: int, above: int, last: int) -> TreePage:
        if not 0 < number <= self._file.count or self._file.is_map(number):
            raise BadPage(f"page {parent}: points to page {number}, which cannot be below it")
        if self.marks[number] != UNSEEN:
            raise BadPage(f"page {number}: is referenced twice")
        if number != 1:
            use, owner = self._file.use(number)
            if not use and not self._file.has_map:
                pass
            elif not use:
                self._tell(f"page {number}: the map does not know it")
            elif (use, owner) != ((TREE, parent) if parent else (ROOT, 0)):
                raise BadPage(f"page {number}: the map does not agree with page {parent}")
        page = TreePage(number, self._file.page(number))
        self.marks[number] = LEAF if page.kind == LEAF_TABLE else SEEN
        problem = page.problem(above, last)
        if problem:
            self._tell(f"page {number}: {problem}")
        self._counted += 1 + sum(page.overflow)
        return page

    def _roots(self, page: TreePage) -> set[int]:
        """The tree roots in rows of the schema."""
        roots: set[int] = set()
        for at in page.cells:
            try:
                row = self._file.row(page.content, at)
            except BadPage as error:
                self._tell(f"page 1: {error}")
                continue
            root = row.values[3] if len(row.values) == 5 else None
            if isinstance(root, int) and root > 1:
                roots.add(root)
        return roots

    def _free_pages(self) -> None:
        header = self._file.header()
        trunk = int.from_bytes(header[32:36], "big")
        expected = int.from_bytes(header[36:40], "big")
        found = 0
        while trunk:
            try:
                content = self._file.page(trunk)
                count = int.from_bytes(content[4:8], "big")
                if self.marks[trunk] != UNSEEN or count > PAGE_BYTES // 4 - 2:
                    raise BadPage(f"page {trunk}: is not a list of free pages")
            except BadPage as error:
                self._tell(str(error))
                break
            self.marks[trunk] = UNUSED
            found += 1
            for at in range(8, 8 + 4 * count, 4):
                number = int.from_bytes(content[at : at + 4], "big")
                if not 0 < number <= self._file.count or self.marks[number] != UNSEEN:
                    self._tell(f"page {trunk}: page {number} cannot be free")
                    self.has_list = False
                else:
                    self.marks[number] = UNUSED
                    found += 1
            trunk = int.from_bytes(content[:4], "big")
        if found != expected:
            self._tell(f"{expected} free pages, but {found} in their list")
            self.has_list = False
        self._counted += found

    def is_stale(self, number: int) -> bool:
        """Whether an unseen or unused page is free, as far as known."""
        says_free = self._file.use(number)[0] == FREE
        if self.marks[number] == UNUSED:
            return says_free or not self._file.use(number)[0]
        return says_free and not self.has_list


def inspect(path: Path) -> tuple[str, str]:
    """Inspect a database file before SQLite opens it, since SQLite silently discards damaged parts of its log.

    Returns: certain damage, or else suspected damage; both empty if all is well, or if there is no file.
    Raises: OSError.
    """
    log = path.with_name(path.name + "-wal")
    if not path.exists():
        if not log.exists():
            return "", ""
        make_private(path)  # otherwise SQLite would delete the log
    file = PageFile(path)
    try:
        if file.journal.damage:
            return file.journal.damage, ""
        if file.bytes < 2:  # SQLite treats a file of one byte as empty, and deletes the log
            return ("it is empty, but its write-ahead log is not" if file.journal.frames else ""), ""
        wrong = _wrong_header(file.header())
        if wrong:
            return wrong, ""
        if file.header()[16:18] != PAGE_BYTES.to_bytes(2, "big"):
            return "", ""  # rewritten by another program; leave the check to SQLite
        if file.is_cut:
            return "it is shorter than its header says", ""
        if file.has_map and not file.says_map():
            return "it has map pages, but its header says that it has none", ""
        doubt = "its header reserves space at the end of pages" if file.header()[20] else ""
        return "", "; ".join(Survey(file).problems[:1]) or doubt
    finally:
        file.close()


def other_page_size(path: Path) -> int:
    """The page size in bytes of a file, if it differs from ours; else 0. Raises: OSError."""
    file = PageFile(path)
    try:
        header = file.header()
    finally:
        file.close()
    size = int.from_bytes(header[16:18], "big")
    return 0 if _wrong_header(header) or size == PAGE_BYTES else max(size, 65536 * (size == 1))


def _wrong_header(header: bytes) -> str:
    """The damage of a file's header, empty for none."""
    size = int.from_bytes(header[16:18], "big")
    if header[:16] != MAGIC:
        return "it has no database header"
    if size != 1 and (size < 512 or size & (size - 1)):
        return "its page size is invalid"
    if header[18] not in (1, 2) or header[19] not in (1, 2) or header[21:24] != b"\x40\x20\x20":
        return "its header has unknown values"
    if int.from_bytes(header[60:64], "big") > MAX_FORMAT:
        return "its format number is invalid"
    return ""
