"""clickhouse/ against the embedded ClickHouse: runs the cases of test/clickhouse/client_test.cpp.

By hand: CHUTE_CLICKHOUSE=http://127.0.0.1:18123 CHUTE_BUILD=build/release python3 test/integration/clickhouse_client_test.py
"""

import http.server
import os
import shutil
import ssl
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CHUTE_BUILD") or ROOT / "build/release")
PROGRAM = BUILD / "test/clickhouse/clickhouse-client"
LIMIT_S = 300


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers every query with one row, as ClickHouse would."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("X-ClickHouse-Query-Id", "1")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"1\n")

    def log_message(self, *_):
        pass


def make_certificate(folder: Path) -> Path:
    """A certificate of its own for localhost, and its key, in one file."""
    pem = folder / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", str(folder / "key"), "-out", str(folder / "cert")],
        check=True, capture_output=True, timeout=60)
    pem.write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return pem


class ClickHouseClient(unittest.TestCase):
    def run_program(self, *arguments: str, **environment: str) -> str:
        done = subprocess.run([str(PROGRAM), *arguments], env={**os.environ, **environment}, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S, errors="replace")
        self.assertEqual(done.returncode, 0, done.stdout[-20000:])
        return done.stdout

    def test_against_the_server(self):
        self.assertRegex(self.run_program(), r"test cases:\s*[1-9]\d*\s*\|\s*[1-9]\d* passed\s*\|\s*0 failed")

    def test_tls(self):
        self.assertTrue(shutil.which("openssl"), "openssl is not installed")
        with tempfile.TemporaryDirectory() as folder:
            pem = make_certificate(Path(folder))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(str(pem))
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                out = self.run_program("-tc=certificates are verified", CHUTE_TEST_TLS=f"https://localhost:{server.server_port}",
                                       CHUTE_TEST_TLS_CA=str(pem))
            finally:
                server.shutdown()
                thread.join()
                server.server_close()
        self.assertRegex(out, r"test cases:\s*1\s*\|\s*1 passed")


if __name__ == "__main__":
    unittest.main()
