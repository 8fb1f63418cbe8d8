// A directory holds a file `lock`, locked for as long as the store lives, and one file for all lanes of a pipeline,
// which is written anew by every save: to a file beside it, then fsync, rename, fsync of the directory. So one save
// costs two fsyncs however many lanes it carries, and a crash at any moment leaves either the old file or the new one.
//
// The file, as text:
//   chute-state 1
//   lanes <count>
//   then for each lane
//     lane <lane> <version> <bytes of the names that follow> <bytes of the text>
//     <cluster>\0<group>\0<pipeline>\0<topic>
//     <the record's text>
//   sum <XXH3-64 of all bytes before this line, in hexadecimal>
#include "core/mutant.hpp"
#include "state/compare.hpp"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <set>
#include <sys/file.h>
#include <sys/stat.h>
#include <tuple>
#include <unistd.h>
#include <utility>
#include <xxhash.h>

namespace chute {

namespace {

constexpr std::string_view heading = "chute-state 1\n";
constexpr std::size_t file_max = 256 << 20; // more cannot be ours: 10,000 lanes of 4 KB are 40 MB

class file_descriptor {
public:
  explicit file_descriptor(int fd = -1) : fd_(fd) {}
  file_descriptor(file_descriptor&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  file_descriptor& operator=(file_descriptor&& o) noexcept {
    std::swap(fd_, o.fd_);
    return *this;
  }
  ~file_descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

private:
  int fd_;
};

using lanes_map = std::map<lane_key, stored_record>;

std::string hex(std::uint64_t v) {
  char text[16];
  return {text, std::to_chars(text, text + 16, v, 16).ptr};
}

// --- the file's text -------------------------------------------------------------------------------------------------

std::string encode(const lanes_map& lanes) {
  std::string out(heading);
  out += "lanes " + std::to_string(lanes.size()) + "\n";
  for (const auto& [k, r] : lanes) {
    std::string names = k.cluster + '\0' + k.group + '\0' + k.pipeline + '\0' + k.topic;
    out += "lane " + std::to_string(k.lane.value) + " " + std::to_string(r.version) + " " +
           std::to_string(names.size()) + " " + std::to_string(r.text.size()) + "\n";
    out += names + "\n" + r.text + "\n";
  }
  return out + "sum " + hex(XXH3_64bits(out.data(), out.size())) + "\n";
}

// Reads what encode() wrote. `ok` turns false at the first thing that does not fit.
struct reader {
  std::string_view in;
  bool ok = true;

  std::string_view upto(char end) {
    auto at = in.find(end);
    if (at == std::string_view::npos) ok = false;
    auto out = in.substr(0, ok ? at : 0);
    in.remove_prefix(ok ? at + 1 : 0);
    return out;
  }
  void word(std::string_view expected) {
    if (upto(' ') != expected) ok = false;
  }
  template <class T> T number(char end) {
    auto text = upto(end);
    T v{};
    auto [at, code] = std::from_chars(text.data(), text.data() + text.size(), v);
    if (code != std::errc() || at != text.data() + text.size()) ok = false;
    return v;
  }
  std::string bytes(std::size_t n) {
    if (n >= in.size() || in[n] != '\n') ok = false;
    std::string out(in.substr(0, ok ? n : 0));
    in.remove_prefix(ok ? n + 1 : 0);
    return out;
  }
};

bool decode_lane(reader& in, lanes_map& out) {
  in.word("lane");
  lane_key k;
  stored_record r;
  k.lane = {in.number<std::int32_t>(' ')};
  r.version = in.number<std::uint64_t>(' ');
  auto names_size = in.number<std::size_t>(' ');
  auto text_size = in.number<std::size_t>('\n');
  auto names = in.bytes(names_size);
  r.text = in.bytes(text_size);
  reader n{names};
  k.cluster = n.upto('\0');
  k.group = n.upto('\0');
  k.pipeline = n.upto('\0');
  k.topic = n.in;
  return in.ok && n.ok && out.emplace(std::move(k), std::move(r)).second;
}

bool decode(std::string_view text, lanes_map& out) {
  auto end = text.rfind("sum ");
  if (text.substr(0, heading.size()) != heading || end == std::string_view::npos) return false;
  if (text.substr(end) != "sum " + hex(XXH3_64bits(text.data(), end)) + "\n") return false;
  reader in{text.substr(heading.size(), end - heading.size())};
  in.word("lanes");
  auto count = in.number<std::size_t>('\n');
  for (std::size_t i = 0; in.ok && i < count; ++i)
    if (!decode_lane(in, out)) return false;
  return in.ok && in.in.empty();
}

// --- the file system -------------------------------------------------------------------------------------------------

std::string reason() { return std::strerror(errno); }

// Nothing: there is no such file. `path`: of the directory, for errors.
result<std::optional<std::string>> read_file(int directory, const std::string& path, const std::string& name) {
  auto failed = [&](const std::string& what, const std::string& way_out) {
    return error{"state", path + "/" + name + " cannot be " + what + ": " + reason(), way_out};
  };
  file_descriptor fd(openat(directory, name.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return std::optional<std::string>();
  if (!fd) return failed("opened", "give it to the user that runs chute, or mend the disk");
  std::string out;
  char buffer[65536];
  for (ssize_t n; (n = ::read(fd.get(), buffer, sizeof buffer)) != 0;) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 || out.size() > file_max) return failed("read", "mend the disk");
    out.append(buffer, static_cast<std::size_t>(n));
  }
  return std::optional(std::move(out));
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    auto n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

// What root writes (`sudo chute state reset`) belongs to whom the file did that was there, or the directory does: else
// the engine's own user could not open it any more. Nobody else can give files away, nor has to.
void give_away(int fd, int directory, const std::string& before) {
  struct stat s {};
  const bool there = fstatat(directory, before.c_str(), &s, AT_SYMLINK_NOFOLLOW) == 0;
  if (there || fstat(directory, &s) == 0) (void)!fchown(fd, s.st_uid, s.st_gid);
}

class file_store final : public store {
public:
  file_store(std::string path, file_descriptor directory, file_descriptor lock)
      : path_(std::move(path)), directory_(std::move(directory)), lock_(std::move(lock)) {}
  const char* name() const override { return "file"; }

  std::vector<loaded> load(const std::vector<lane_key>& lanes, std::int64_t) override {
    std::map<std::string, result<lanes_map>> files;
    std::vector<loaded> out;
    for (const auto& k : lanes) {
      auto file = files.try_emplace(file_of(k), lanes_map{});
      if (file.second) file.first->second = read(file.first->first);
      out.push_back(find(k, file.first->second));
    }
    return out;
  }

  std::vector<saved> save(const std::vector<save_request>& requests, std::int64_t) override {
    std::vector<saved> out(requests.size());
    if (!lock_) {
      out.assign(requests.size(), {save_status::refused, error{"state", path_ + " is opened for reading", ""}});
      return out;
    }
    std::map<std::string, std::vector<std::size_t>> files;
    for (std::size_t i = 0; i < requests.size(); ++i) files[file_of(requests[i].lane)].push_back(i);
    for (const auto& [file, which] : files) save_in(file, which, requests, out);
    return out;
  }

private:
  // A name that people recognise, and a hash that tells apart what looks alike.
  static std::string file_of(const lane_key& k) {
    auto key = k.cluster + '\0' + k.group + '\0' + k.pipeline;
    std::string out;
    for (char c : k.pipeline.substr(0, 64))
      out +=
          (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ? c : '_';
    return out + "-" + hex(XXH3_64bits(key.data(), key.size())) + ".state";
  }

  static loaded find(const lane_key& k, const result<lanes_map>& file) {
    loaded out;
    if (!file) {
      out.failure = file.failure();
      return out;
    }
    auto it = file->find(k);
    out.status = it == file->end() ? loaded::status::absent : loaded::status::found;
    if (it != file->end()) out.record = it->second;
    return out;
  }

  // The directory must still be the one that was locked: after it was removed or replaced another process may hold the
  // lock of the new one.
  std::optional<error> still_ours() const {
    if (!lock_) return std::nullopt; // nothing is held
    struct stat mine {
    }, there{};
    if (fstat(lock_.get(), &mine) == 0 && stat((path_ + "/lock").c_str(), &there) == 0 && mine.st_ino == there.st_ino &&
        mine.st_dev == there.st_dev)
      return std::nullopt;
    return error{"state", "the directory " + path_ + " was removed or replaced while it was in use",
                 "put it back and start again"};
  }

  result<lanes_map> read(const std::string& file) {
    if (auto gone = still_ours(); gone && !mutant(bug::replaced_directory_used)) return *gone;
    if (!directory_) return lanes_map{};
    auto text = read_file(directory_.get(), path_, file);
    if (!text) return text.failure();
    lanes_map out;
    if (!*text) {
      // Written once and not there any more is no first start.
      if (!written_.count(file) || mutant(bug::vanished_file_is_empty)) return out;
      return error{"state", path_ + "/" + file + " has disappeared", "put it back and start again"};
    }
    if (!decode(**text, out) && !mutant(bug::damaged_file_is_empty))
      return error{"state", path_ + "/" + file + " is damaged",
                   "restore it from a copy, or see docs/state-stores.md, \"A damaged file\""};
    written_.insert(file);
    return out;
  }

  void save_in(const std::string& file, const std::vector<std::size_t>& which,
               const std::vector<save_request>& requests, std::vector<saved>& out) {
    auto lanes = read(file);
    std::vector<std::size_t> writing;
    for (auto i : which) {
      const auto& r = requests[i];
      if (!lanes) {
        out[i] = {save_status::refused, lanes.failure()};
        continue;
      }
      auto it = lanes->find(r.lane);
      auto answer = compare(r, it == lanes->end() ? std::nullopt : std::optional(it->second));
      if (!answer) {
        (*lanes)[r.lane] = r.record;
        writing.push_back(i);
      }
      out[i] = answer.value_or(saved{save_status::accepted, {}});
    }
    // A repetition of a save that may not be on the disk yet is written once more.
    if (writing.empty() && !(lanes && unsynced_.count(file))) return;
    auto done = write(file, encode(*lanes));
    // Whoever was found to be a repetition of one that is only now being written shares its fate.
    if (done.status != save_status::accepted)
      for (auto i : which)
        if (out[i].status == save_status::accepted) out[i] = done;
  }

  saved write(const std::string& file, const std::string& text) {
    bool in_place = mutant(bug::file_written_in_place); // not const: that would be known when it is compiled
    const auto fresh = in_place ? file : file + ".new";
    auto failed = [&](save_status what, const std::string& doing) {
      return saved{what, error{"state", path_ + "/" + file + ": " + doing + ": " + reason(),
                               "make room on the disk, or mend it; the record that was there is intact"}};
    };
    {
      // What lies there may be another user's, or a link, which would be written through and given away.
      if (!in_place) unlinkat(directory_.get(), fresh.c_str(), 0);
      const int how = O_WRONLY | O_CREAT | O_CLOEXEC | (in_place ? O_TRUNC : O_EXCL);
      file_descriptor fd(openat(directory_.get(), fresh.c_str(), how, 0600));
      if (!fd) return failed(save_status::not_now, "cannot be written");
      give_away(fd.get(), directory_.get(), file);
      if (!write_all(fd.get(), text) || fsync(fd.get()) != 0) {
        auto answer = failed(save_status::not_now, "cannot be written");
        unlinkat(directory_.get(), fresh.c_str(), 0);
        return answer;
      }
    }
    if (renameat(directory_.get(), fresh.c_str(), directory_.get(), file.c_str()) != 0)
      return failed(save_status::not_now, "cannot be replaced");
    written_.insert(file);
    // It is there, but a crash of the machine may still take it back.
    unsynced_.insert(file);
    if (fsync(directory_.get()) != 0) return failed(save_status::unknown, "its directory cannot be synced");
    unsynced_.erase(file);
    return {save_status::accepted, {}};
  }

  std::string path_;
  file_descriptor directory_, lock_; // to look only: without a lock, and where there is no directory without that
  std::set<std::string> written_;    // files that this process has seen
  std::set<std::string> unsynced_;   // replaced, but perhaps not on the disk
};

file_descriptor open_lock(int directory) {
  constexpr int how = O_RDWR | O_NOFOLLOW | O_CLOEXEC;
  file_descriptor there(openat(directory, "lock", how));
  if (there || errno != ENOENT) return there;
  file_descriptor made(openat(directory, "lock", how | O_CREAT, 0600));
  if (made) give_away(made.get(), directory, "");
  return made;
}

// Who holds the lock, as far as the file says.
std::string holder(int lock) {
  char text[32];
  auto n = pread(lock, text, sizeof text, 0);
  return n > 1 ? " (process " + std::string(text, static_cast<std::size_t>(n - 1)) + ")" : "";
}

} // namespace

result<std::unique_ptr<store>> open_file_store(const std::string& directory) {
  auto fail = [&](const std::string& what, const std::string& way_out) {
    return error{"state", "the directory " + directory + " " + what, way_out};
  };
  if (directory.empty()) return error{"state", "the file store has no directory", "write state.path"};
  std::error_code code;
  std::filesystem::create_directories(directory, code);
  if (code) return fail("cannot be made: " + code.message(), "correct state.path, or grant rights");
  // The directory itself must survive a crash of the machine too.
  file_descriptor above(open((directory + "/..").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (above) (void)fsync(above.get());
  file_descriptor folder(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return fail("cannot be opened: " + reason(), "correct state.path, or grant rights");
  auto lock = open_lock(folder.get());
  if (!lock) return fail("cannot be locked: " + reason(), "grant rights");
  if (!mutant(bug::lock_not_taken) && flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK)
      return fail(
          "is in use by another process" + holder(lock.get()),
          "stop that one, or give this one a directory of its own; what `chute state` is to do, that one can do: "
          "give the address of its admin face with --admin");
    return fail("cannot be locked: " + reason(), "use a local file system");
  }
  auto pid = std::to_string(getpid()) + "\n";
  // For people only, so its failure changes nothing.
  if (ftruncate(lock.get(), 0) == 0) (void)!pwrite(lock.get(), pid.data(), pid.size(), 0);
  return std::unique_ptr<store>(std::make_unique<file_store>(directory, std::move(folder), std::move(lock)));
}

result<std::unique_ptr<store>> view_file_store(const std::string& directory) {
  if (directory.empty()) return error{"state", "the file store has no directory", "write state.path"};
  // Files are replaced by renaming: one that is read is whole.
  file_descriptor folder(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder && errno != ENOENT)
    return error{"state", "the directory " + directory + " cannot be opened: " + reason(),
                 "correct state.path, or grant rights"};
  return std::unique_ptr<store>(std::make_unique<file_store>(directory, std::move(folder), file_descriptor(-1)));
}

std::optional<error> file_store_unusable(const std::string& directory) {
  std::error_code code;
  auto at = std::filesystem::absolute(directory, code).lexically_normal();
  while (!std::filesystem::exists(at, code) && at.has_relative_path()) at = at.parent_path();
  if (std::filesystem::is_directory(at, code) && access(at.c_str(), W_OK | X_OK) == 0) return std::nullopt;
  return error{"state",
               "the directory " + directory + " cannot be written: " + at.string() +
                   " is no directory, or this user may not write there",
               "correct state.path, or grant rights"};
}

} // namespace chute
