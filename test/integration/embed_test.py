"""The library, as a newcomer meets it: installed elsewhere, found by find_package(chute), linked into a program outside the
checkout. That program runs two engines on the real parts, with an actor system, listeners, a format and a store of its own."""

import json
import os
import shutil
import signal
import subprocess

import harness
from harness import SMALL_COLUMNS, wait_until

TIME_LIMIT_SECONDS = 900
BUILD_SECONDS = 600


def call(*command, **options):
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=BUILD_SECONDS, **options)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))} failed:\n{done.stdout[-4000:]}")
    return done.stdout


class Embed(harness.Scenario):
    @classmethod
    def setUpClass(cls):
        cls.place = harness.RUN_DIR / f"embed_{os.getpid()}"
        shutil.rmtree(cls.place, ignore_errors=True)
        cls.prefix = cls.place / "prefix"
        call("cmake", "--install", harness.BUILD, "--prefix", cls.prefix)
        source = cls.place / "embed"
        shutil.copytree(harness.ROOT / "examples/embed", source)
        cls.every_header(source)
        # Not our compiler flags, nor our folder: what is installed must do.
        call("cmake", "-G", "Ninja", "-B", cls.place / "build", "-S", source, f"-DCMAKE_PREFIX_PATH={cls.prefix}")
        call("cmake", "--build", cls.place / "build")
        cls.program = cls.place / "build/embed"

    @classmethod
    def every_header(cls, source):
        """Each installed header stands alone: in a file of its own, added to the program."""
        headers = sorted((cls.prefix / "include").rglob("*.hpp"))
        names = [str(h.relative_to(cls.prefix / "include")) for h in headers]
        assert "chute/actors/engine.hpp" in names, names
        for header in headers:
            assert '#include "' not in header.read_text(), f"{header} includes a file of the checkout"
        (source / "headers.cpp").write_text("".join(f"#include <{n}>\n" for n in reversed(names)))
        with open(source / "CMakeLists.txt", "a") as file:
            file.write("target_sources(embed PRIVATE headers.cpp)\n")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.place, ignore_errors=True)

    def given(self):
        """Topics, tables and files of both engines."""
        self.one, self.two = self.topic(3, "_one"), self.topic(2, "_two")
        self.first, self.second = self.table(suffix="_one"), self.table(SMALL_COLUMNS, suffix="_two")
        file_one, _ = self.topology(self.one, self.first, name="first")
        file_two, _ = self.topology(self.two, self.second, name="second", format="pairs")
        document = json.loads(file_two.read_text())
        document["state"] = {"store": "ledger"}
        document["pipelines"] = {"pairs": document["pipelines"][self.name]}
        file_two.write_text(json.dumps(document))
        return file_one, file_two

    def pairs(self, first, count):
        lines = [{"partition": n % 2, "value": f"id={n};text=number {n};more=ignored"} for n in range(first, first + count)]
        lines.append({"partition": 0, "value": "id=many;text=no number"})
        self.kit("produce", self.two, "--stdin", text="".join(json.dumps(line) + "\n" for line in lines))

    def embed(self, *arguments):
        return harness.Process(self, "embed", [self.program, *arguments])

    def both_landed(self, pairs):
        rows = self.server.rows(f"SELECT count() AS n, uniqExact(id) AS ids, min(text = concat('number ', toString(id))) AS right "
                                f"FROM {self.second}")[0]
        self.assertEqual({k: int(v) for k, v in rows.items()}, {"n": pairs, "ids": pairs, "right": 1})

    def test_until_end(self):
        files = self.given()
        self.produce(self.one, 20_000, "--broken-every", 997)
        self.pairs(0, 5_000)
        program = self.embed(*files, "--until-end")
        self.assertEqual(program.wait(120), 0)
        self.exact(self.one, self.first, records=20_000)
        self.both_landed(5_000)
        said = program.log.read_text()
        for line in (f"actor: {self.name}: pipeline drained", f"actor: {self.name}: dead_letters", f"actor: {self.name}: rebalanced",
                     "function: pairs: pipeline drained", f"function: pairs: lane {self.two}/0 streaming",
                     "pairs: drained, 5000 rows, 1 dead letters"):
            self.assertIn(line, said)
        self.assertNotIn(f"function: {self.name}", said)  # each engine tells its own listener only

    def test_the_end_of_the_host_drains(self):
        files = self.given()
        # Nothing is full and no batch is due before the end: only draining brings the records in.
        for file in files:
            document = json.loads(file.read_text())
            for pipeline in document["pipelines"].values():
                pipeline["batch"] = {"rows": 1_000_000, "wait": "10m"}
            file.write_text(json.dumps(document))
        self.produce(self.one, 3_000)
        self.pairs(0, 1_000)
        program = self.embed(*files)
        for name in ("first", "second"):
            wait_until(lambda: f"{name}: has gathered records" in program.log.read_text(), 60, f"the {name} engine gathers")
        self.assertEqual(self.server.number(f"SELECT count() FROM {self.first}"), 0)
        program.signal(signal.SIGTERM)
        self.assertEqual(program.wait(60), 0)
        for table in (self.first, self.second):
            self.assertGreater(self.server.number(f"SELECT count() FROM {table}"), 0, f"{table}: nothing was drained")
        # Whatever was not gathered yet is left to the next engine; nothing comes twice.
        self.assertEqual(harness.Engine(self, files[0], "--until-end", name="heir").wait(60), 0)
        self.exact(self.one, self.first, records=3_000)


if __name__ == "__main__":
    harness.main()
