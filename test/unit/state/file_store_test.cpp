#include "test/unit/state/records.hpp"

#include <csignal>
#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace chute;
using namespace chute::test;
namespace fs = std::filesystem;

namespace {

constexpr std::int64_t limit = 5'000;

struct directory {
  fs::path path;
  directory() {
    auto name = (fs::temp_directory_path() / "chute-file-store-XXXXXX").string();
    path = mkdtemp(name.data());
  }
  ~directory() { fs::remove_all(path); }
  std::unique_ptr<store> open() const {
    auto s = open_file_store(path.string());
    REQUIRE_MESSAGE(s, (s ? "" : s.failure().text()));
    return *std::move(s);
  }
  fs::path file() const {
    for (const auto& e : fs::directory_iterator(path))
      if (e.path().extension() == ".state") return e.path();
    return {};
  }
};

save_status save(store& s, const save_request& r) { return s.save({r}, limit)[0].status; }
loaded load(store& s, const lane_key& k = lane_of()) { return s.load({k}, limit)[0]; }

std::string content(const fs::path& p) {
  std::ifstream in(p, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

// Writes to files fail beyond so many bytes, as they would on a full disk.
struct files_limited {
  rlimit before{};
  explicit files_limited(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    rlimit now{bytes, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &now);
  }
  ~files_limited() { setrlimit(RLIMIT_FSIZE, &before); }
};

} // namespace

TEST_CASE("file store: one process at a time has the directory") {
  directory d;
  auto first = d.open();
  auto second = open_file_store(d.path.string());
  REQUIRE(!second);
  CHECK(second.failure().text().find("in use by another process") != std::string::npos);
  CHECK(second.failure().text().find(std::to_string(getpid())) != std::string::npos);
  CHECK(second.failure().way_out.find("--admin") != std::string::npos); // it may be `chute state`
  first.reset();
  CHECK(open_file_store(d.path.string()));
}

TEST_CASE("file store: who only looks needs no lock, makes nothing and saves nothing") {
  directory d;
  auto engine = d.open();
  REQUIRE(save(*engine, save_of(lane_of(0), 1)) == save_status::accepted);
  auto view = view_file_store(d.path.string());
  REQUIRE(view);
  CHECK(load(**view).status == loaded::status::found);
  CHECK(load(**view).record.version == 1);
  CHECK(save(**view, save_of(lane_of(0), 2)) == save_status::refused);
  REQUIRE(save(*engine, save_of(lane_of(0), 2)) == save_status::accepted);
  CHECK(load(**view).record.version == 2);
  engine.reset();
  CHECK(open_file_store(d.path.string())); // it holds nothing

  const auto missing = d.path / "missing";
  auto nothing = view_file_store(missing.string());
  REQUIRE(nothing);
  CHECK(load(**nothing).status == loaded::status::absent);
  CHECK(save(**nothing, save_of(lane_of(0), 1)) == save_status::refused);
  CHECK_FALSE(fs::exists(missing));
  CHECK(!view_file_store(""));
  std::ofstream(d.path / "plain") << "x";
  CHECK(!view_file_store((d.path / "plain").string()));

  CHECK_FALSE(file_store_unusable(d.path.string()));
  CHECK_FALSE(file_store_unusable((missing / "below").string()));
  CHECK(file_store_unusable((d.path / "plain" / "below").string()));
}

TEST_CASE("file store: a directory that cannot be made or used is an error") {
  directory d;
  CHECK(!open_file_store(""));
  std::ofstream(d.path / "plain") << "x";
  CHECK(!open_file_store((d.path / "plain").string()));
  CHECK(!open_file_store((d.path / "plain" / "below").string()));
  CHECK(open_file_store((d.path / "new" / "and" / "deep").string()));
}

TEST_CASE("file store: any damage is a failure, never an absent record, and nothing is written over it") {
  directory d;
  auto s = d.open();
  REQUIRE(save(*s, save_of(lane_of(0), 1)) == save_status::accepted);
  REQUIRE(save(*s, save_of(lane_of(1), 1)) == save_status::accepted);
  auto good = content(d.file());
  auto write = [&](const std::string& text) { std::ofstream(d.file(), std::ios::binary | std::ios::trunc) << text; };
  auto damaged = [&] {
    for (int lane : {0, 1, 2}) {
      auto l = load(*s, lane_of(lane));
      CHECK(l.status == loaded::status::failed);
      REQUIRE(l.failure);
      CHECK(!l.failure->way_out.empty());
    }
    CHECK(save(*s, save_of(lane_of(0), 2)) == save_status::refused);
    CHECK(save(*s, save_of(lane_of(2), 1)) == save_status::refused);
  };
  for (std::size_t at = 0; at < good.size(); at += 7) {
    auto bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 4);
    write(bad);
    CAPTURE(at);
    damaged();
  }
  for (std::size_t size : {std::size_t{0}, std::size_t{5}, good.size() / 2, good.size() - 1}) {
    write(good.substr(0, size));
    CAPTURE(size);
    damaged();
  }
  write(good + "x");
  damaged();
  write(good);
  CHECK(load(*s, lane_of(1)).status == loaded::status::found);
  CHECK(load(*s, lane_of(2)).status == loaded::status::absent);
  CHECK(save(*s, save_of(lane_of(0), 2)) == save_status::accepted);
}

TEST_CASE("file store: a file or a directory that goes away under it is a failure") {
  directory d;
  auto s = d.open();
  REQUIRE(save(*s, save_of(lane_of(), 1)) == save_status::accepted);
  fs::rename(d.file(), d.path / "aside");
  CHECK(load(*s).status == loaded::status::failed);
  CHECK(save(*s, save_of(lane_of(), 2)) == save_status::refused);
  fs::remove_all(d.path);
  CHECK(load(*s).status == loaded::status::failed);
  auto other = d.open(); // makes the directory anew, with a lock of its own
  CHECK(load(*s).status == loaded::status::failed);
  CHECK(save(*s, save_of(lane_of(), 1)) == save_status::refused);
  CHECK(save(*other, save_of(lane_of(), 1)) == save_status::accepted);
}

TEST_CASE("file store: a directory that was moved aside does not get a second life") {
  directory d;
  directory aside;
  fs::remove(aside.path);
  auto s = d.open();
  REQUIRE(save(*s, save_of(lane_of(), 1)) == save_status::accepted);
  fs::rename(d.path, aside.path);
  CHECK(save(*s, save_of(lane_of(), 2)) == save_status::refused);
  auto other = d.open();
  REQUIRE(save(*other, save_of(lane_of(), 1, 7)) == save_status::accepted);
  CHECK(load(*s).status == loaded::status::failed);
  CHECK(save(*s, save_of(lane_of(), 2)) == save_status::refused);
}

TEST_CASE("file store: a full disk leaves the record as it was, and goes on when there is room") {
  directory d;
  auto s = d.open();
  auto first = save_of(lane_of(), 1);
  REQUIRE(save(*s, first) == save_status::accepted);
  {
    files_limited full(10);
    auto answer = s->save({save_of(lane_of(), 2), save_of(lane_of(1), 1)}, limit);
    for (const auto& a : answer) {
      CHECK(a.status == save_status::not_now);
      REQUIRE(a.why);
      CHECK(a.why->text().find("make room") != std::string::npos);
    }
    CHECK(load(*s).record.text == first.record.text);
  }
  CHECK(save(*s, save_of(lane_of(), 2)) == save_status::accepted);
  CHECK(load(*s).record.version == 2);
  CHECK(load(*s, lane_of(1)).status == loaded::status::absent);
}

TEST_CASE("file store: what a crash leaves beside the file is of no consequence") {
  directory d;
  {
    auto s = d.open();
    REQUIRE(save(*s, save_of(lane_of(), 1)) == save_status::accepted);
    std::ofstream(d.file().string() + ".new") << "half a fi";
  }
  auto s = d.open();
  CHECK(load(*s).record.version == 1);
  CHECK(save(*s, save_of(lane_of(), 2)) == save_status::accepted);
  CHECK(load(*s).record.version == 2);
}

TEST_CASE("file store: a file that cannot be opened or read is named with its directory") {
  directory d;
  auto s = d.open();
  REQUIRE(save(*s, save_of(lane_of(), 1)) == save_status::accepted);
  const auto file = d.file();
  fs::remove(file);
  fs::create_symlink(file, file); // not even root opens it
  CHECK(load(*s).failure->cause.starts_with(file.string() + " cannot be opened: "));
  CHECK(load(*s).failure->way_out.find("the user that runs chute") != std::string::npos);
  fs::remove(file);
  fs::create_directory(file);
  CHECK(load(*s).failure->cause.starts_with(file.string() + " cannot be read: "));
}

TEST_CASE("file store: a link that lies where a save is written is not written through") {
  directory d;
  auto s = d.open();
  REQUIRE(save(*s, save_of(lane_of(), 1)) == save_status::accepted);
  std::ofstream(d.path / "other") << "x";
  fs::create_symlink(d.path / "other", d.file().string() + ".new");
  CHECK(save(*s, save_of(lane_of(), 2)) == save_status::accepted);
  CHECK(content(d.path / "other") == "x");
  CHECK_FALSE(fs::is_symlink(d.file()));
}

TEST_CASE("file store: what root saves stays the user's who had it") {
  constexpr uid_t engine = 12'345, another = 23'456;
  directory d;
  if (chown(d.path.c_str(), engine, engine) != 0) { // only root gives files away
    MESSAGE("not run: it needs root");
    return;
  }
  const auto owner = [](const fs::path& p) {
    struct stat s {};
    REQUIRE(stat(p.c_str(), &s) == 0);
    CHECK(s.st_gid == s.st_uid);
    return s.st_uid;
  };
  auto s = d.open();
  CHECK(owner(d.path / "lock") == engine);
  REQUIRE(save(*s, save_of(lane_of(), 1)) == save_status::accepted);
  CHECK(owner(d.file()) == engine);
  REQUIRE(chown(d.file().c_str(), another, another) == 0); // in a directory that several may write to
  REQUIRE(chown((d.path / "lock").c_str(), another, another) == 0);
  REQUIRE(save(*s, save_of(lane_of(), 2)) == save_status::accepted);
  CHECK(owner(d.file()) == another);
  s.reset();
  s = d.open();
  CHECK(owner(d.path / "lock") == another); // whose it was
}

TEST_CASE("file store: names of any kind are kept apart") {
  directory d;
  auto s = d.open();
  std::vector<lane_key> keys = {lane_of(),
                                {"cluster", "group", "pipeline", "orders", {1}},
                                {"cluster", "group", "pipeline", "orders\n", {0}},
                                {"cluster", "group", "pipe/line", "orders", {0}},
                                {"cluster", "group", "pipe_line", "orders", {0}},
                                {"cluster", "group", "../../etc", "orders", {0}},
                                {"other", "group", "pipeline", "orders", {0}},
                                {"cluster", "other", "pipeline", "orders", {0}},
                                {"", "", "", "", {0}}};
  for (std::size_t i = 0; i < keys.size(); ++i)
    REQUIRE(save(*s, save_of(keys[i], 1, 100 + i)) == save_status::accepted);
  for (std::size_t i = 0; i < keys.size(); ++i)
    CHECK(load(*s, keys[i]).record.text == save_of(keys[i], 1, 100 + i).record.text);
  for (const auto& e : fs::directory_iterator(d.path)) CHECK(e.path().parent_path() == d.path);
}
