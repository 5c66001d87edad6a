"""Field tables and properties of all kinds, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from leveret.wire import fields
from leveret.wire.fields import Field, Table
from leveret.wire.properties import BasicProperties

KEYS = (
    st.text(max_size=20)
    .filter(lambda text: len(text.encode("utf-8", "surrogatepass")) <= 255)
    .map(lambda text: text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape"))
)


def integers(bits: int, signed: bool) -> st.SearchStrategy[int]:
    """All numbers of a width."""
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) if signed else st.integers(0, (1 << bits) - 1)


LEAVES: st.SearchStrategy[Field] = st.one_of(
    st.booleans().map(lambda value: Field(fields.BOOLEAN, value)),
    integers(8, True).map(lambda value: Field(fields.INT8, value)),
    integers(8, False).map(lambda value: Field(fields.UINT8, value)),
    integers(16, True).map(lambda value: Field(fields.INT16, value)),
    integers(16, False).map(lambda value: Field(fields.UINT16, value)),
    integers(32, True).map(fields.signedint),
    integers(32, False).map(lambda value: Field(fields.UINT32, value)),
    integers(64, True).map(fields.long),
    integers(64, False).map(fields.timestamp),
    st.floats(width=32, allow_nan=False).map(lambda value: Field(fields.FLOAT32, value)),
    st.floats(allow_nan=False).map(lambda value: Field(fields.FLOAT64, value)),
    st.tuples(integers(8, False), integers(32, False)).map(lambda value: Field(fields.DECIMAL, value)),
    st.binary(max_size=40).map(fields.longstr),
    st.binary(max_size=40).map(lambda value: Field(fields.BINARY, value)),
    st.just(Field(fields.VOID, None)),
)
FIELDS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(fields.array),
        st.dictionaries(KEYS, inner, max_size=4).map(fields.table),
    ),
    max_leaves=12,
)
TABLES: st.SearchStrategy[Table] = st.dictionaries(KEYS, FIELDS, max_size=6)
TEXTS = (
    "content_type",
    "content_encoding",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "message_type",
    "user_id",
    "app_id",
    "cluster_id",
)
OCTETS = ("delivery_mode", "priority")
TEXT = st.binary(max_size=30).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


@st.composite
def make_properties(draw: st.DrawFn) -> BasicProperties:
    """Any subset of the properties with any values."""
    result = BasicProperties()
    for name in draw(st.sets(st.sampled_from(TEXTS))):
        setattr(result, name, draw(TEXT))
    for name in draw(st.sets(st.sampled_from(OCTETS))):
        setattr(result, name, draw(st.integers(0, 255)))
    result.timestamp = draw(st.none() | st.integers(0, (1 << 64) - 1))
    result.headers = draw(st.none() | TABLES)
    return result


PROPERTIES = make_properties()
