"""Compares what is stored with what has to be: `python3 compare.py EXPECTED FOLDER`.

FOLDER holds a file for each table, as COPY wrote it. Prints as JSON how many rows are lost (they are not there), doubled
(they are there twice or more than they should be, or are counted too often) and wrong (a column has another value), and
the first few of them.
"""
import json
import marshal
import pathlib
import sys

from tables import TABLES

SHOWN = 10


class Comparison:
    def __init__(self):
        self.counts = {"rows": 0, "lost": 0, "doubled": 0, "wrong": 0}
        self.examples = []

    def found(self, what, *words):
        self.counts[what] += 1
        if len(self.examples) < SHOWN:
            self.examples.append(" ".join((what,) + words)[:2000])

    def table(self, table, expected, lines):
        key_columns, columns = TABLES[table]
        seen, others = set(), {}
        for text in lines:
            cells = text.rstrip("\n").split("\t", len(key_columns))
            key, row = "\t".join(cells[:len(key_columns)]), "".join(cells[len(key_columns):])
            self.counts["rows"] += 1
            wanted = expected.get(key)
            if wanted is None:
                self.found("doubled", table, key, "is there and should not be")
            elif key in seen:
                self.found("doubled", table, key, "is there twice")
                # Of two rows the one that is wanted counts, wherever it lies.
                if row == wanted:
                    others.pop(key, None)
            elif row != wanted:
                others[key] = row
            seen.add(key)
        for key, row in others.items():
            self.differs(table, key, columns, row.split("\t"), expected[key].split("\t"))
        for key in expected.keys() - seen:
            self.found("lost", table, key)

    def differs(self, table, key, columns, row, wanted):
        names = [name for name, one, other in zip(columns, row, wanted) if one != other]
        too_often = names == ["reruncount"] and int(row[-1]) > int(wanted[-1])
        words = [f"{name}: {one}, not {other};" for name, one, other in zip(columns, row, wanted) if one != other]
        self.found("doubled" if too_often else "wrong", table, key, *words)


def main(expected, folder):
    with open(expected, "rb") as file:
        rows = marshal.load(file)
    comparison = Comparison()
    for table in TABLES:
        with open(pathlib.Path(folder) / table, encoding="utf-8", newline="\n") as lines:
            comparison.table(table, rows[table], lines)
    print(json.dumps(dict(comparison.counts, examples=comparison.examples)))


if __name__ == "__main__":
    main(*sys.argv[1:])
