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

# Variables of the host that find_package(chute) must leave as they are.
MINE = ("name", "module", "part")

# The ledger of the example, away at every fifth call; sometimes only after it has saved.
MOODY = r"""
#define open_ledger open_calm_ledger
#include "ledger.cpp"
#undef open_ledger
#include <stdexcept>

namespace {

class moody final : public chute::store {
public:
  explicit moody(std::unique_ptr<chute::store> calm) : calm_(std::move(calm)) {}
  std::vector<chute::loaded> load(const std::vector<chute::lane_key>& lanes, std::int64_t limit_ms) override {
    if (++calls_ % 5 == 0) throw std::runtime_error("the ledger is away");
    return calm_->load(lanes, limit_ms);
  }
  std::vector<chute::saved> save(const std::vector<chute::save_request>& requests, std::int64_t limit_ms) override {
    const bool away = ++calls_ % 5 == 0;
    if (away && calls_ % 2) throw std::runtime_error("the ledger is away");
    auto told = calm_->save(requests, limit_ms);
    if (away) throw 7;
    return told;
  }
  const char* name() const override { return calm_->name(); }

private:
  std::unique_ptr<chute::store> calm_;
  int calls_ = 3;
};

} // namespace

std::unique_ptr<chute::store> open_ledger(std::shared_ptr<ledger> in) {
  return std::make_unique<moody>(open_calm_ledger(std::move(in)));
}
"""


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
        cls.own_variables(source)
        cls.every_header(source)
        cls.moody_ledger(source)
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
        for number, name in enumerate(names):
            (source / f"header_{number}.cpp").write_text(f"#include <{name}>\n")
        sources = " ".join(f"header_{number}.cpp" for number in range(len(names)))
        with open(source / "CMakeLists.txt", "a") as file:
            file.write(f"target_sources(embed PRIVATE {sources})\n")

    @classmethod
    def own_variables(cls, source):
        """find_package() runs in the host's scope."""
        file = source / "CMakeLists.txt"
        find = "find_package(chute REQUIRED)\n"
        before = "".join(f"set({name} mine)\n" for name in MINE)
        after = "".join(f'if(NOT "${{{name}}}" STREQUAL "mine")\n  message(FATAL_ERROR "{name} is ${{{name}}}")\nendif()\n'
                        for name in MINE)
        text = file.read_text()
        assert find in text
        file.write_text(text.replace(find, before + find + after))

    @classmethod
    def moody_ledger(cls, source):
        (source / "moody.cpp").write_text(MOODY)
        with open(source / "CMakeLists.txt", "a") as file:
            file.write("add_executable(moody main.cpp pairs.cpp moody.cpp)\ntarget_link_libraries(moody PRIVATE chute::chute)\n")

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

    def test_a_host_that_can_do_without(self):
        """A library that is missing is told by find_package(), which decides whether that is an error."""
        source = self.place / "optional"
        source.mkdir()
        (source / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(optional LANGUAGES CXX)\nfind_package(chute)\n"
            'message(STATUS "found: ${chute_FOUND}, because ${chute_NOT_FOUND_MESSAGE}")\n')
        nowhere = {**os.environ, "PKG_CONFIG_LIBDIR": str(source), "PKG_CONFIG_PATH": ""}
        said = call("cmake", "-G", "Ninja", "-B", source / "build", "-S", source, f"-DCMAKE_PREFIX_PATH={self.prefix}", env=nowhere)
        self.assertRegex(said, "found: (FALSE|0), because pkg-config knows no ")

    def test_a_store_that_throws(self):
        """At every fifth call: the lanes ask again, and every record is there once."""
        files = self.given()
        document = json.loads(files[1].read_text())
        document["pipelines"]["pairs"]["batch"] = {"rows": 200, "wait": "50ms"}
        files[1].write_text(json.dumps(document))
        self.produce(self.one, 100)
        self.pairs(0, 5_000)
        program = harness.Process(self, "moody", [self.place / "build/moody", *files, "--until-end"])
        self.assertEqual(program.wait(240), 0, harness.tail(program.log))
        self.both_landed(5_000)
        self.assertIn("pairs: drained, 5000 rows, 1 dead letters", program.log.read_text())

    def both_landed(self, pairs):
        rows = self.server.rows(f"SELECT count() AS n, uniqExact(id) AS ids, uniqExact(_partition, _offset) AS places, "
                                f"min(text = concat('number ', toString(id))) AS right FROM {self.second}")[0]
        self.assertEqual({k: int(v) for k, v in rows.items()}, {"n": pairs, "ids": pairs, "places": pairs, "right": 1})

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
        # The other one's state ended with its host: what it gathered is there once, and as it was sent.
        self.both_landed(self.server.number(f"SELECT count() FROM {self.second}"))


if __name__ == "__main__":
    harness.main()
