"""Class 90, tx. Made by tools/gen_methods.py; not for editing."""

from __future__ import annotations

from librt.strings import BytesWriter, write_i32_be

from leveret.wire.arguments import ArgumentReader, Method


class TxSelect(Method):
    """tx.select (90, 10)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> TxSelect:
        """Read the arguments."""
        return TxSelect()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 5898250)


class TxSelectOk(Method):
    """tx.select-ok (90, 11)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> TxSelectOk:
        """Read the arguments."""
        return TxSelectOk()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 5898251)


class TxCommit(Method):
    """tx.commit (90, 20)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> TxCommit:
        """Read the arguments."""
        return TxCommit()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 5898260)


class TxCommitOk(Method):
    """tx.commit-ok (90, 21)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> TxCommitOk:
        """Read the arguments."""
        return TxCommitOk()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 5898261)


class TxRollback(Method):
    """tx.rollback (90, 30)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> TxRollback:
        """Read the arguments."""
        return TxRollback()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 5898270)


class TxRollbackOk(Method):
    """tx.rollback-ok (90, 31)."""

    __slots__ = ()

    @staticmethod
    def parse(reader: ArgumentReader) -> TxRollbackOk:
        """Read the arguments."""
        return TxRollbackOk()

    def encode(self, out: BytesWriter) -> None:
        """Write the payload of the method frame."""
        write_i32_be(out, 5898271)
