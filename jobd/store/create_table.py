"""Reading the text of CREATE statements, so that two of them can be compared part by part.

Letter case outside string literals, white space, comments, the quoting of names, the names of
constraints and the order of the values in an IN list make no difference.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<skipped>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<literal>[xX]?'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")*"|\[[^\]]*\]|`(?:[^`]|``)*`)
    |(?P<word>[\w$]+(?:\.\d+)?)
    |(?P<operator><>|!=|<=|>=|==|\|\||->>|->|<<|>>|.)""",
    re.VERBOSE | re.DOTALL,
)
_SHORTCUT = re.compile(
    r"(\w+) (?:= (?P<value>'[^']*')|is null) or (?P<list>\1 in \( '[^']*'(?: , '[^']*')* \))"
)
_IN_LIST = re.compile(r"\w+ in \( ('[^']*'(?: , '[^']*')*) \)")
_REFUSES = re.compile(r" begin select raise \( abort , '[^']*' \) ; end$")

CLAUSES = frozenset(
    ("primary", "autoincrement", "not", "null", "unique", "check", "default", "collate",
     "references", "generated", "as", "constraint")
)
TABLE_CONSTRAINTS = frozenset(("constraint", "primary", "unique", "check", "foreign"))


def normal_tokens(sql: str) -> list[str]:
    """The tokens of `sql`: words and unquoted names in lower case, literals as they are."""
    return [_normal(match) for match in _TOKEN.finditer(sql) if match.lastgroup != "skipped"]


def normal_text(sql: str) -> str:
    """One spelling for all texts that mean the same."""
    tokens = normal_tokens(sql)
    return _sorted_lists(" ".join(_without(tokens, ["if", "not", "exists"])))


def read_trigger(sql: str) -> str:
    """The same of a trigger; one that only refuses an update does so before it or after."""
    text = normal_text(sql)
    return text.replace(" before update ", " after update ", 1) if _REFUSES.search(text) else text


def allowed_values(check: str) -> frozenset[str] | None:
    """The values that a normal CHECK of the shape `column IN (...)` allows; else None."""
    found = _IN_LIST.fullmatch(check.removeprefix("check ( ").removesuffix(" )"))
    return frozenset(_values(found[1])) if found else None


def check_in(column: str, values: Sequence[str]) -> str:
    """The normal CHECK that allows exactly `values` in `column`."""
    listed = " , ".join(f"'{value}'" for value in values)
    return _sorted_lists(f"check ( {column} in ( {listed} ) )")


@dataclass(frozen=True, slots=True)
class Table:
    """What CREATE TABLE says: for each column its clauses by kind, the constraints, the options.

    A column's "type" is a clause like its "not null", "default", "check" or "references".
    """

    columns: dict[str, dict[str, str]]
    constraints: frozenset[str]
    options: frozenset[str]


def read_table(sql: str) -> Table:
    """Take a CREATE TABLE statement, as sqlite_schema keeps it, apart.

    Raises:
        ValueError: it has no column list (a virtual table, CREATE TABLE AS).
    """
    tokens = normal_tokens(sql)
    start = tokens.index("(")
    end = _closing(tokens, start)
    columns: dict[str, dict[str, str]] = {}
    constraints = []
    for part in _split(tokens[start + 1 : end]):
        if part[0] in TABLE_CONSTRAINTS:
            constraints.append(_without_shortcuts(_text(_unnamed(part))))
        else:
            columns[part[0]] = _column(part[1:])
    options = frozenset(" ".join(option) for option in _split(tokens[end + 1 :]))
    return Table(columns, frozenset(constraints), options)


@dataclass(frozen=True, slots=True)
class Index:
    """What CREATE INDEX says."""

    table: str
    columns: str
    unique: bool
    where: str


def read_index(sql: str) -> Index:
    """Take a CREATE INDEX statement apart."""
    tokens = normal_tokens(sql)
    on = tokens.index("on")
    end = _closing(tokens, on + 2)
    return Index(
        table=tokens[on + 1],
        columns=" ".join(tokens[on + 3 : end]),
        unique="unique" in tokens[:on],
        where=_text(tokens[end + 2 :]),
    )


def _normal(match: re.Match[str]) -> str:
    text = match.group()
    if match.lastgroup == "quoted":
        mark = text[-1]
        return text[1:-1].replace(mark * 2, mark).lower()
    return text if match.lastgroup == "literal" else text.lower()


def _column(tokens: list[str]) -> dict[str, str]:
    """The clauses of one column by kind; several CHECKs become one text."""
    clauses: dict[str, str] = {"type": ""}
    for clause in _clauses(tokens):
        kind = clause[0] if clause[0] in CLAUSES else "type"
        text = _text(clause) if kind != "check" else _without_shortcuts(_text(clause))
        clauses[kind] = f"{clauses[kind]} and {text}" if clauses.get(kind) else text
    clauses.pop("constraint", None)
    return clauses


def _clauses(tokens: list[str]) -> Iterator[list[str]]:
    """Cut what follows a column's name where each clause begins."""
    clause: list[str] = []
    for position, depth in _depths(tokens):
        if clause and depth == 0 and _begins_clause(tokens, position, clause):
            yield clause
            clause = []
        clause.append(tokens[position])
    if clause:
        yield clause


def _begins_clause(tokens: list[str], position: int, clause: list[str]) -> bool:
    word, previous = tokens[position], tokens[position - 1]
    following = tokens[position + 1 : position + 2]
    if clause == ["default"] or clause == ["constraint"] or previous == "set":
        return False
    if (word, previous) in (("null", "not"), ("as", "always")):
        return False
    return word in CLAUSES and not (word == "not" and following == ["deferrable"])


def _depths(tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Each position with the number of parentheses open before it."""
    depth = 0
    for position, word in enumerate(tokens):
        depth -= word == ")"
        yield position, depth
        depth += word == "("


def _closing(tokens: Sequence[str], start: int) -> int:
    """Where the parenthesis that opens at `start` closes."""
    for position, depth in _depths(tokens[start:]):
        if tokens[start + position] == ")" and depth == 0:
            return start + position
    raise ValueError("a parenthesis is not closed")


def _split(tokens: list[str]) -> Iterator[list[str]]:
    """The parts between the commas that stand outside all parentheses."""
    part: list[str] = []
    for position, depth in _depths(tokens):
        if tokens[position] == "," and depth == 0:
            yield part
            part = []
        else:
            part.append(tokens[position])
    if part:
        yield part


def _unnamed(constraint: list[str]) -> list[str]:
    return constraint[2:] if constraint[0] == "constraint" else constraint


def _without(tokens: list[str], words: list[str]) -> list[str]:
    """`tokens` without the first run of `words` in the statement's head."""
    for position in range(min(len(tokens), 5)):
        if tokens[position : position + len(words)] == words:
            return tokens[:position] + tokens[position + len(words) :]
    return tokens


def _text(tokens: list[str]) -> str:
    return _sorted_lists(" ".join(tokens))


def _without_shortcuts(check: str) -> str:
    """`x = 'a' OR x IN ('a', …)` as the list alone, which allows the same; so with `x IS NULL`,
    and with more of them before one list."""
    shorter = _SHORTCUT.sub(
        lambda found: found["list"] if (found["value"] or "") in found["list"] else found[0], check
    )
    return shorter if shorter == check else _without_shortcuts(shorter)


def _sorted_lists(text: str) -> str:
    return _IN_LIST.sub(
        lambda found: found[0].replace(found[1], " , ".join(
            f"'{value}'" for value in sorted(_values(found[1]))
        )),
        text,
    )


def _values(listed: str) -> list[str]:
    return re.findall(r"'([^']*)'", listed)
