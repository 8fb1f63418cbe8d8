"""Records that no sane producer sends: each is a row or a dead letter, and its neighbours land."""

import base64
import json

import harness

COLUMNS = "id UInt64, text String, big Nullable(Int256), ratio Nullable(Float64)"
DEEP = 10_000


def good(i):
    return json.dumps({"id": i, "text": f"neighbour {i}"}).encode()


# name: (value, where it must go: "row", "dead", or None where both are documented ways)
CASES = {
    "900 KB": (json.dumps({"id": 1, "text": "x" * 900_000}).encode(), "row"),
    "900 KB of escapes": (b'{"id": 1, "text": "' + b"\\u00e9" * 150_000 + b'"}', "row"),
    "900 KB and broken": (b'{"id": 1, "text": "' + b"y" * 900_000, "dead"),
    "invalid UTF-8": (b'{"id": 1, "text": "\xff\xfe"}', "dead"),
    "overlong UTF-8": (b'{"id": 1, "text": "\xc0\xaf"}', "dead"),
    "the largest of 256 bits": (b'{"id": 1, "text": "", "big": %d}' % (2**255 - 1), "row"),
    "beyond 256 bits": (b'{"id": 1, "text": "", "big": %d}' % 2**255, "dead"),
    "far beyond 256 bits": (b'{"id": 1, "text": "", "big": ' + b"9" * 5_000 + b"}", "dead"),
    "a float beyond doubles": (b'{"id": 1, "text": "", "ratio": 1e999}', None),
    "nesting 10,000 deep": (b'{"id": 1, "text": "", "deep": ' + b"[" * DEEP + b"]" * DEEP + b"}", None),
    "nesting 10,000 deep, unclosed": (b'{"id": 1, "text": ' + b'{"a":' * DEEP, "dead"),
    "duplicate keys": (b'{"id": 1, "text": "a", "text": "b"}', "dead"),
    "duplicate keys without a column": (b'{"id": 1, "text": "a", "x": 1, "x": 2}', None),
    "truncated": (b'{"id": 1, "text": "a', "dead"),
    "truncated within an escape": (b'{"id": 1, "text": "\\u00', "dead"),
    "empty": (b"", "dead"),
    "blanks": (b"  \n ", "dead"),
    "null value": (None, "dead"),
    "the word null": (b"null", "dead"),
    "an array": (b"[]", "dead"),
    "two documents": (b'{"id": 1, "text": ""}{"id": 2, "text": ""}', "dead"),
    "a lone surrogate": (b'{"id": 1, "text": "\\ud800"}', "dead"),
    "a lone low surrogate": (b'{"id": 1, "text": "\\udc00 x"}', "dead"),
    "NaN": (b'{"id": 1, "text": "", "ratio": NaN}', "dead"),
    "Infinity": (b'{"id": 1, "text": "", "ratio": -Infinity}', "dead"),
    "a NUL in a text": (b'{"id": 1, "text": "a\\u0000b"}', "row"),
    "a raw NUL": (b'{"id": 1, "text": "a\x00b"}', "dead"),
    "a byte order mark": (b'\xef\xbb\xbf{"id": 1, "text": ""}', None),
    "no fields": (b"{}", "row"),
    "an empty name": (b'{"": 1, "id": 1, "text": ""}', "row"),
    "10,000 fields": (json.dumps({"id": 1, "text": "", **{f"f{i}": i for i in range(10_000)}}).encode(), "row"),
    "bytes at random": (bytes(range(256)), "dead"),
}


class BadInput(harness.Scenario):
    def test_a_row_or_a_dead_letter_and_the_neighbours_land(self):
        topic, table = self.topic(1), self.table(columns=COLUMNS)
        values = []
        for i, (value, _) in enumerate(CASES.values()):
            values += [good(i), value]
        values.append(good(len(CASES)))
        lines = [json.dumps({"partition": 0, "key": f"k{i}", "headers": [["n", str(i)], ["none", None]],
                             **({"value_base64": base64.b64encode(v).decode()} if v is not None else {"value": None})})
                 for i, v in enumerate(values)]
        self.kit("produce", topic, "--stdin", text="\n".join(lines))
        self.run_until_end(topic, table)
        # What the documentation leaves to the engine, the oracle counts as unverified; the neighbours it does verify.
        self.exact(topic, table, "--ignore", "big", records=len(values), unverified=len(CASES))
        rows = {r["_offset"] for r in self.server.rows(f"SELECT toInt32(_offset) AS _offset FROM {table}")}
        for i in range(len(CASES) + 1):
            self.assertIn(2 * i, rows, f"neighbour {i}")
        dead = {r["o"]: r["error"] for r in self.server.rows(
            f"SELECT toInt32(offset) AS o, error FROM {self.dead_letters} WHERE pipeline = '{self.name}'")}
        for i, (name, (value, where)) in enumerate(CASES.items()):
            at = 2 * i + 1
            print(f"  {name}: {'row' if at in rows else dead.get(at)}", flush=True)
            if where:
                self.assertEqual("row" if at in rows else "dead", where, f"{name}: {dead.get(at)}")
            if name == "beyond 256 bits":
                self.assertIn("big", dead[at], "the field is named")
                self.assertNotIn(str(2**255), dead[at], "the value is not")
        self.assertEqual(self.server.ask(f"SELECT big FROM {table} WHERE big IS NOT NULL"), str(2**255 - 1))


if __name__ == "__main__":
    harness.main()
