"""The embedded ClickHouse server, as clients of ClickHouse's HTTP interface see it. Needs nothing but dev/services."""

import array
import base64
import gzip
import http.client
import json
import os
import re
import socket
import subprocess
import threading
import time
import unittest
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parent.parent.parent
RUN = Path(os.environ.get("CHUTE_RUN_DIR") or ROOT / ".run") / "embedded"


def services(*arguments: str) -> str:
    env = {k: v for k, v in os.environ.items() if k not in ("CHUTE_CLICKHOUSE", "CHUTE_KAFKA")}
    done = subprocess.run([ROOT / "dev/services", "--run", RUN, *arguments], env=env, capture_output=True, text=True, timeout=150)
    if done.returncode:
        raise AssertionError(f"dev/services {arguments}: {done.stderr}{done.stdout}")
    return done.stdout


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def native_block(rows: int, first: int = 0) -> bytes:
    """One block of one column, a UInt64."""
    return varint(1) + varint(rows) + b"\x01a\x06UInt64" + array.array("Q", range(first, first + rows)).tobytes()


class Reply:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()
        self.text = self.body.decode(errors="replace") if "Content-Encoding" not in self.headers else ""


class Server(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        services("start", "--fresh", "--free-ports", "clickhouse")
        cls.port = int(re.search(r"CHUTE_CLICKHOUSE=http://127.0.0.1:(\d+)", services("env"))[1])

    @classmethod
    def tearDownClass(cls):
        services("stop", "clickhouse")

    def setUp(self):
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.addCleanup(self.connection.close)

    def send(self, body=None, method="POST", headers=None, path="/", **params) -> Reply:
        target = path + ("?" + urlencode(params) if params else "")
        self.connection.request(method, target, body if method == "GET" or body is not None else b"", headers or {})
        return Reply(self.connection.getresponse())

    def ask(self, sql: str, **params) -> str:
        reply = self.send(sql, **params)
        self.assertEqual(reply.status, 200, reply.text)
        return reply.text.rstrip("\n")

    def refused(self, status: int, code: int, name: str, reply: Reply):
        self.assertEqual((reply.status, reply.headers["X-ClickHouse-Exception-Code"]), (status, str(code)), reply.text)
        self.assertRegex(reply.text, rf"(?s)^Code: {code}\. DB::Exception: .*\({name}\) \(version \S+\)\n$")

    def table(self, name: str, columns: str = "a UInt64, s String", window: int = 1000) -> str:
        self.ask(f"DROP TABLE IF EXISTS {name} SYNC")
        self.ask(f"CREATE TABLE {name} ({columns}) ENGINE = MergeTree ORDER BY tuple() SETTINGS non_replicated_deduplication_window = {window}")
        return name

    # -- questions -----------------------------------------------------------------------------------------------------

    def test_health_and_unknown_paths(self):
        for path in ("/ping", "/replicas_status", "/"):
            self.assertEqual((self.send(method="GET", path=path).status, self.send(method="GET", path=path).body), (200, b"Ok.\n"))
        self.assertEqual(self.send(method="GET", path="/nope").status, 404)

    def test_the_query_may_stand_in_the_url_in_the_body_or_in_both(self):
        self.assertEqual(self.send(method="GET", query="SELECT 1").body, b"1\n")
        self.assertEqual(self.ask("SELECT 2"), "2")
        self.assertEqual(self.ask(" + 2", query="SELECT 1"), "3")
        self.assertEqual(self.ask("SELECT currentDatabase()"), "chute")
        self.assertEqual(self.ask("SELECT 1", default_format="JSONEachRow"), '{"1":1}')
        self.assertEqual(self.ask("SELECT 1 AS x FORMAT CSVWithNames", default_format="JSON"), '"x"\n1')
        form = b"--B\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {x:UInt8}\r\n" \
               b"--B\r\nContent-Disposition: form-data; name=\"param_x\"\r\n\r\n5\r\n--B--\r\n"
        self.assertEqual(self.send(form, headers={"Content-Type": "multipart/form-data; boundary=B"}).body, b"5\n")

    def test_a_url_of_a_hundred_kilobytes(self):
        self.assertEqual(self.send(method="GET", query="SELECT length('" + "x" * 100_000 + "')").body, b"100000\n")

    def test_what_the_headers_say(self):
        reply = self.send("SELECT number FROM numbers(10) FORMAT JSONCompact", query_id="the-id")
        self.assertEqual(reply.headers["X-ClickHouse-Query-Id"], "the-id")
        self.assertEqual(reply.headers["X-ClickHouse-Format"], "JSONCompact")
        self.assertEqual(reply.headers["Content-Type"], "application/json; charset=UTF-8")
        self.assertTrue(reply.headers["X-ClickHouse-Timezone"])
        self.assertTrue(reply.headers["X-ClickHouse-Server-Display-Name"])
        self.assertEqual(json.loads(reply.headers["X-ClickHouse-Summary"])["read_rows"], "10")

    def test_settings_and_parameters_end_with_their_request(self):
        self.assertEqual(self.ask("SELECT getSetting('max_block_size'), {p:String}", max_block_size="123", param_p="it's"), "123\tit\\'s")
        self.assertNotEqual(self.ask("SELECT getSetting('max_block_size')"), "123")
        self.assertNotEqual(self.send("SELECT {p:String}").status, 200)
        self.assertEqual(self.ask("SELECT 1", readonly="1"), "1")
        self.ask("CREATE TABLE IF NOT EXISTS after_readonly (a UInt8) ENGINE = Memory")

    def test_large_results_arrive_whole(self):
        reply = self.send("SELECT number, 'x' FROM numbers(2000000) ORDER BY number")
        self.assertEqual(reply.body.count(b"\n"), 2_000_000)
        self.assertTrue(reply.body.endswith(b"\n1999999\tx\n"))

    def test_replies_are_compressed_only_when_both_sides_say_so(self):
        sql = "SELECT number FROM numbers(1000)"
        plain = self.send(sql, headers={"Accept-Encoding": "gzip"})
        self.assertNotIn("Content-Encoding", plain.headers)
        packed = self.send(sql, headers={"Accept-Encoding": "gzip, br"}, enable_http_compression="1")
        self.assertEqual(packed.headers["Content-Encoding"], "gzip")
        self.assertEqual(gzip.decompress(packed.body), plain.body)

    # -- refusals ------------------------------------------------------------------------------------------------------

    def test_errors_have_the_status_the_code_and_the_words_of_clickhouse(self):
        self.refused(404, 60, "UNKNOWN_TABLE", self.send("SELECT * FROM nope"))
        self.refused(400, 62, "SYNTAX_ERROR", self.send("SELEC 1"))
        self.refused(400, 62, "SYNTAX_ERROR", self.send(""))
        self.refused(400, 62, "SYNTAX_ERROR", self.send("SELECT 1; SELECT 2"))
        self.refused(404, 81, "UNKNOWN_DATABASE", self.send("SELECT 1", database="nope"))
        self.refused(404, 115, "UNKNOWN_SETTING", self.send("SELECT 1", nope="1"))
        self.refused(404, 115, "UNKNOWN_SETTING", self.send("SELECT 1", **{"a b": "1"}))
        self.refused(408, 159, "TIMEOUT_EXCEEDED", self.send("SELECT sleep(2)", max_execution_time="1"))
        self.refused(500, 164, "READONLY", self.send(method="GET", query="CREATE TABLE x (a UInt8) ENGINE = Memory"))
        self.refused(501, 48, "NOT_IMPLEMENTED", self.send(b"\0", decompress="1", query="INSERT INTO nope FORMAT TSV"))
        self.assertEqual(self.ask("SELECT 1"), "1")

    def test_a_wrong_user_or_password(self):
        self.refused(403, 516, "AUTHENTICATION_FAILED", self.send("SELECT 1", user="nobody"))
        basic = base64.b64encode(b"default:wrong").decode()
        self.refused(403, 516, "AUTHENTICATION_FAILED", self.send("SELECT 1", headers={"Authorization": "Basic " + basic}))
        self.refused(403, 516, "AUTHENTICATION_FAILED", self.send("SELECT 1", headers={"X-ClickHouse-User": "default", "X-ClickHouse-Key": "x"}))
        basic = base64.b64encode(b"default:").decode()
        self.assertEqual(self.send("SELECT 1", headers={"Authorization": "Basic " + basic}).body, b"1\n")

    def test_a_body_without_a_length(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as s:
            s.sendall(b"POST /?query=SELECT+1 HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b"411", s.recv(65536).split(b"\r\n")[0])

    # -- inserts -------------------------------------------------------------------------------------------------------

    def test_rows_in_every_place_and_packing(self):
        t = self.table("places")
        insert = f"INSERT INTO {t} FORMAT TSV"
        lz4 = b"\x04\x22\x4d\x18\x60\x40\x82" + (4 | 1 << 31).to_bytes(4, "little") + b"4\tx\n" + bytes(4)
        zstd = b"\x28\xb5\x2f\xfd\x20\x04" + (1 | 4 << 3).to_bytes(3, "little") + b"5\tx\n"
        sent = [
            self.send(b"1\tx\n", query=insert),
            self.send(insert.encode() + b"\n2\tx\n"),
            self.send(gzip.compress(b"3\tx\n"), query=insert, headers={"Content-Encoding": "gzip"}),
            self.send(lz4, query=insert, headers={"Content-Encoding": "lz4"}),
            self.send(zstd, query=insert, headers={"Content-Encoding": "zstd"}),
            self.send(f"INSERT INTO {t} VALUES (6, 'x'), (7, 'x')"),
            self.send("(8, 'x')", query=f"INSERT INTO {t} VALUES"),
            self.send(f"INSERT INTO {t} (a) FORMAT JSONEachRow {{\"a\": 9}}"),
            self.send(f"INSERT INTO {t} SELECT 10, 'x'"),
            self.send(iter([b"INSERT INTO ", t.encode(), b" FORMAT TS", b"V", b"\n1", b"1\tx\n"])),
            self.send(b"", query=insert),
        ]
        for i, reply in enumerate(sent):
            self.assertEqual((i, reply.status, reply.body), (i, 200, b""))
        self.assertEqual(self.ask(f"SELECT groupArray(a) FROM (SELECT a FROM {t} ORDER BY a)"), "[1,2,3,4,5,6,7,8,9,10,11]")
        self.assertEqual(json.loads(sent[5].headers["X-ClickHouse-Summary"])["written_rows"], "2")

    def test_bad_rows_leave_nothing_and_the_connection_usable(self):
        t = self.table("bad_rows")
        rows = b"".join(b"%d\tx\n" % i for i in range(300_000)) + b"oops\tx\n" + b"1\tx\n" * 1_000_000
        self.assertEqual(self.send(rows, query=f"INSERT INTO {t} FORMAT TSV", max_insert_block_size="10000000",
                                   min_insert_block_size_rows="10000000", min_insert_block_size_bytes="0").status, 400)
        self.refused(404, 60, "UNKNOWN_TABLE", self.send(rows, query="INSERT INTO nope FORMAT TSV"))
        self.refused(404, 73, "UNKNOWN_FORMAT", self.send(rows, query=f"INSERT INTO {t} FORMAT Nope"))
        for encoding in ("lz4", "zstd"):
            self.assertNotEqual(self.send(b"1\tx\n", query=f"INSERT INTO {t} FORMAT TSV", headers={"Content-Encoding": encoding}).status, 200)
        self.assertEqual(self.ask(f"SELECT count() FROM {t}"), "0")

    def test_a_gzip_that_is_none_is_refused(self):
        t = self.table("bad_gzip")
        self.assertNotEqual(self.send(b"1\tx\n", query=f"INSERT INTO {t} FORMAT TSV", headers={"Content-Encoding": "gzip"}).status, 200)
        self.connection.close()
        self.assertEqual(self.ask(f"SELECT count() FROM {t}"), "0")

    def test_a_body_that_is_cut_leaves_nothing(self):
        t = self.table("cut", "a UInt64")
        block = native_block(400_000)
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as s:
            head = f"POST /?query=INSERT+INTO+{t}+FORMAT+Native&insert_deduplication_token=cut HTTP/1.1\r\nHost: x\r\nContent-Length: {len(block)}\r\n\r\n"
            s.sendall(head.encode() + block[: len(block) // 2])
            # While its rows are on their way, an insert can be seen by its token.
            seen = "SELECT count() FROM system.processes WHERE Settings['insert_deduplication_token'] = 'cut'"
            self.until(lambda: self.ask(seen) == "1", "the insert to show in system.processes")
        self.until(lambda: self.ask(seen) == "0", "the insert to be gone")
        self.assertEqual(self.ask(f"SELECT count() FROM {t}"), "0")

    def until(self, true, what: str, seconds: float = 20):
        end = time.monotonic() + seconds
        while not true():
            self.assertLess(time.monotonic(), end, f"waited {seconds} s for {what}")
            time.sleep(0.02)

    def test_a_native_body_of_100_mb_is_one_block(self):
        t = self.table("big", "a UInt64")
        rows = 12_500_000
        block = native_block(rows)
        pinned = {"async_insert": "0", "insert_deduplicate": "1", "deduplicate_insert": "enable", "insert_deduplication_token": "big",
                  "deduplicate_blocks_in_dependent_materialized_views": "1", "materialized_views_ignore_errors": "0",
                  "min_insert_block_size_rows": rows + 1, "max_insert_block_size": rows + 1, "min_insert_block_size_bytes": "0",
                  "max_partitions_per_insert_block": "0", "max_execution_time": "120", "input_format_null_as_default": "1",
                  "input_format_allow_errors_num": "0", "input_format_allow_errors_ratio": "0", "timeout_overflow_mode": "throw",
                  "wait_end_of_query": "1"}
        for _ in range(2):
            reply = self.send(block, query=f"INSERT INTO {t} (a) FORMAT Native", **pinned)
            self.assertEqual(reply.status, 200, reply.text)
        self.assertEqual(self.ask(f"SELECT count(), uniqExact(_part), sum(a) FROM {t}"), f"{rows}\t1\t{rows * (rows - 1) // 2}")

    def test_block_size_settings_are_honoured(self):
        rows = b"".join(b"%d\tx\n" % i for i in range(100))
        for size, parts in ((10, 10), (1000, 1)):
            t = self.table(f"blocks_{size}")
            self.ask(f"SYSTEM STOP MERGES {t}")
            self.send(rows, query=f"INSERT INTO {t} FORMAT TSV", max_insert_block_size=size, min_insert_block_size_rows=size,
                      min_insert_block_size_bytes="0", input_format_parallel_parsing="0")
            self.assertEqual(self.ask(f"SELECT count(), countDistinct(_part) FROM {t}"), f"100\t{parts}")

    def test_a_null_takes_the_default_expression(self):
        t = self.table("defaults", "a UInt64, d UInt64 DEFAULT a * 2")
        reply = self.send(b'{"a": 3, "d": null}\n{"a": 4, "d": 1}\n', query=f"INSERT INTO {t} FORMAT JSONEachRow", input_format_null_as_default="1")
        self.assertEqual(reply.status, 200, reply.text)
        self.assertEqual(self.ask(f"SELECT * FROM {t} ORDER BY a"), "3\t6\n4\t1")
        reply = self.send(b"3\t\\N\n", query=f"INSERT INTO {t} FORMAT TSV", input_format_null_as_default="0")
        self.assertEqual(reply.status, 400, reply.text)

    # -- many and long -------------------------------------------------------------------------------------------------

    def test_a_small_insert_is_quick_on_a_kept_connection(self):
        t = self.table("quick")
        best = 1e9
        for i in range(40):
            began = time.perf_counter()
            self.assertEqual(self.send(b"%d\tx\n" % i, query=f"INSERT INTO {t} FORMAT TSV").status, 200)
            best = min(best, time.perf_counter() - began)
        self.assertLess(best, 0.015, "seconds that the quickest of 40 took")

    def test_a_burst_of_connections_is_served_at_once(self):
        answers, all_open = [], threading.Barrier(100)

        def use():
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            c.request("GET", "/ping")
            c.getresponse().read()
            all_open.wait(60)  # every connection is kept while all are used
            c.request("POST", "/", "SELECT 1, sleep(0.2)")
            answers.append(c.getresponse().read())
            c.close()

        began = time.monotonic()
        threads = [threading.Thread(target=use) for _ in range(100)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(answers, [b"1\t0\n"] * 100)
        self.assertLess(time.monotonic() - began, 10, "seconds; one connection that the system had to try again takes longer")

    def test_killed_at_any_moment_it_comes_back_with_its_rows_and_tokens(self):
        t = self.table("killed", "a UInt64")
        for _ in range(2):
            self.assertEqual(self.send(native_block(1000), query=f"INSERT INTO {t} FORMAT Native", insert_deduplication_token="k").status, 200)
            services("kill", "clickhouse")
            self.connection.close()
            services("start", "clickhouse")
        self.assertEqual(self.ask(f"SELECT count() FROM {t}"), "1000")
        self.assertEqual(self.ask("SELECT engine FROM system.databases WHERE name = 'chute'"), "Atomic")


if __name__ == "__main__":
    unittest.main()
