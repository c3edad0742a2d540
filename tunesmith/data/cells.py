"""Cells and columns: Python values to Arrow without a silent cast, and any Arrow table to the few types used here.

Types of a column: large_string, int64, float64, bool, dates and times, lists, structs, bytes.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError, shorten
from . import bare

EXACT = 2**53
"""Up to here a float holds every integer."""
INT64 = 2**63
REFUSALS = (
    pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, UnicodeEncodeError, TypeError,
)
"""What Arrow says of a value that it cannot hold."""


def column_of(
    name: str, values: Sequence[Any], place: str, numbers: Sequence[int] | None = None, halves: set[int] | None = None
) -> pa.Array:
    """Values of one column as an Arrow array (of type null where all are empty).

    `numbers`: the rows' numbers in the file, where they are not 1, 2, 3... `halves` takes in the numbers of rows whose texts hold half of
    a surrogate pair: Arrow cannot hold it, so that its escape stands for it, as in JSON.

    Raises DataError where two rows hold different kinds (a text and an object), or a value that cannot be kept exactly.
    """
    values = _plain_all(values)
    kinds = _kinds(values)
    _check_one_kind(name, values, kinds, place, numbers)
    if not kinds:
        return pa.nulls(len(values))
    try:
        return normalise_array(_build(values, set(kinds)))
    except UnicodeEncodeError:
        kept = [whole(value) for value in values]
        if halves is not None:
            halves |= {_number(i, numbers) for i, (a, b) in enumerate(zip(values, kept)) if a != b}
        return column_of(name, kept, place, numbers)
    except REFUSALS:
        raise _culprit(name, values, set(kinds), place, numbers) from None


def _plain_all(values: Sequence[Any]) -> Sequence[Any]:
    known = {str, int, float, bool, list, dict, bytes, type(None)}
    return values if set(map(type, values)) <= known else [plain(value) for value in values]


def whole(value: Any) -> Any:
    """The value with every half of a surrogate pair written as JSON writes it (six characters: `\\ud800`)."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [whole(part) for part in value]
    return {whole(key): whole(part) for key, part in value.items()} if isinstance(value, dict) else value


def plain(value: Any) -> Any:
    """A numpy scalar or array, a tuple or a set as a plain Python value; others as they are."""
    if hasattr(value, "tolist") and type(value).__module__ == "numpy":
        value = value.tolist()
    return list(value) if isinstance(value, tuple | set | frozenset) else value


def _kinds(values: Sequence[Any]) -> dict[str, int]:
    """Kinds of the filled cells, each with the position of its first."""
    types = list(map(type, values))
    first = sorted(((types.index(kind), kind) for kind in set(types) - {type(None)}), key=lambda pair: pair[0])
    found: dict[str, int] = {}
    for position, kind in first:
        found.setdefault(_kind(kind), position)
    return found


def _kind(kind: type) -> str:
    kinds: tuple[tuple[tuple[type, ...], str], ...] = (
        ((bool,), "true or false"), ((int, float), "a number"), ((str,), "a text"), ((list,), "a list"),
        ((dict,), "an object"), ((bytes,), "bytes"), ((datetime.date, datetime.time), "a date"),
    )
    return next((name for bases, name in kinds if issubclass(kind, bases)), kind.__name__)


def _check_one_kind(
    name: str, values: Sequence[Any], kinds: dict[str, int], place: str, numbers: Sequence[int] | None
) -> None:
    if len(kinds) < 2:
        return
    (first, at), (second, there) = list(kinds.items())[:2]
    blank = ", and null where a cell is empty" if any(isinstance(value, str) and not value for value in values) else ""
    raise DataError(
        f"{place}, row {_number(there, numbers)}, column {name!r}",
        expected=f"{first}, as in row {_number(at, numbers)}", got=f"{second} ({shorten(values[there]) or 'empty'})",
        fix=f"write the column in one way{blank}", code="mixed-types",
    )


def _number(position: int, numbers: Sequence[int] | None) -> int:
    return numbers[position] if numbers is not None else position + 1


def _build(values: Sequence[Any], kinds: set[str]) -> pa.Array:
    if kinds == {"a number"} and any(isinstance(v, float) for v in values):
        if any(isinstance(v, int) and abs(v) > EXACT for v in values):
            raise OverflowError
        return pa.array(values, pa.float64())
    if kinds == {"a text"}:
        return bare.texts(values)
    try:
        return pa.array(values, pa.int64() if kinds == {"a number"} else None)
    except REFUSALS:
        if not _talks(values):
            raise
        return pa.array([None if value is None else json.dumps(value, ensure_ascii=False) for value in values], pa.large_string())


def _talks(values: Sequence[Any]) -> bool:
    """Whether cells are lists of messages: their contents may be of any kind (texts here, lists of parts there), and are kept as JSON."""
    held = [value for value in values if value is not None]
    said = [one for value in held if isinstance(value, list) for one in value]
    return all(isinstance(value, list) for value in held) and all(isinstance(one, dict) and one.keys() & {"role", "from"} for one in said)


def _culprit(
    name: str, values: Sequence[Any], kinds: set[str], place: str, numbers: Sequence[int] | None
) -> DataError:
    for position, value in enumerate(values):
        try:
            _build([value, *([0.5] if any(isinstance(v, float) for v in values) else [])], kinds)
        except REFUSALS:
            where = f"{place}, row {_number(position, numbers)}, column {name!r}"
            return DataError(where, **_inexact(value))
    return DataError(
        f"{place}, column {name!r}", expected="lists or objects of one kind", got="kinds that differ between rows",
        fix="write the column in one way", code="mixed-types",
    )


def _inexact(value: Any) -> dict[str, str]:
    if isinstance(value, int):
        return {
            "expected": "a number that is kept exactly (below 2^63; below 2^53 beside decimals)",
            "got": shorten(_digits(value)), "fix": "write it as text, in quotes", "code": "number-too-large",
        }
    return {
        "expected": "a text, a number, true or false, a date or a list of such", "got": shorten(value),
        "fix": "write the value in one of these ways", "code": "bad-value",
    }


def _digits(value: int) -> str:
    bits = value.bit_length()
    return str(value) if bits < 4000 else f"an integer of about {int(bits * 0.30103):,} digits"


# -- Arrow to Arrow ---------------------------------------------------------------------------------------------------


def normalise(table: pa.Table) -> pa.Table:
    """The same rows in the few types used here: text is large_string; an empty text or NaN is an empty cell (null)."""
    columns = [_normalise_column(column) for column in table.columns]
    return pa.table(columns, names=table.column_names) if columns else table


def _normalise_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    chunks = [normalise_array(chunk) for chunk in column.chunks]
    return pa.chunked_array(chunks or [normalise_array(pa.array([], column.type))])


def normalise_array(values: pa.Array) -> pa.Array:
    """One chunk of `normalise`."""
    if isinstance(values.type, pa.BaseExtensionType):
        values = values.storage
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    values = _widen(values)
    if pa.types.is_large_string(values.type):
        return _blank(values, pc.equal(pc.binary_length(values), bare.number(0)))
    if pa.types.is_floating(values.type):
        return _blank(values, pc.is_nan(values))
    return values


def _widen(values: pa.Array) -> pa.Array:
    kind = values.type
    if pa.types.is_null(kind) or pa.types.is_string(kind) or pa.types.is_string_view(kind):
        return pc.cast(values, pa.large_string())
    if pa.types.is_integer(kind) and not pa.types.is_uint64(kind):
        return pc.cast(values, pa.int64())
    if pa.types.is_uint64(kind):
        return _narrow(values)
    if pa.types.is_floating(kind):
        return pc.cast(values, pa.float64())
    if pa.types.is_decimal(kind):
        return pc.cast(values, pa.float64() if kind.precision <= 15 else pa.large_string())
    return values


def _narrow(values: pa.Array) -> pa.Array:
    largest = pc.max(values).as_py() or 0
    return pc.cast(values, pa.int64() if largest < INT64 else pa.large_string())


def _blank(values: pa.Array, empty: pa.Array) -> pa.Array:
    return pc.if_else(empty, bare.nothing(values.type), values) if pc.any(empty).as_py() else values


def unify(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """One schema for batches of one file: all columns, in the order of first appearance, each of a type that holds all.

    Raises pa.ArrowTypeError where a column's types have no common one (a text and an object).
    """
    types: dict[str, pa.DataType] = {}
    for schema in schemas:
        for field in schema:
            types[field.name] = _common(types.get(field.name), field.type)
    return pa.schema(list(types.items()))


def _common(one: pa.DataType | None, other: pa.DataType) -> pa.DataType:
    if one is None or one == other or pa.types.is_null(one):
        return other
    if pa.types.is_null(other):
        return one
    merged = pa.unify_schemas([pa.schema([("x", one)]), pa.schema([("x", other)])], promote_options="permissive")
    return merged.field(0).type
