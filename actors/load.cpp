#include "actors/load.hpp"

#include "core/yaml_tree.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace chute {
namespace {

constexpr std::size_t named_file_bytes_max = 16 << 20; // schemas; a secret is bounded where it is read

std::optional<std::string> from_environment(const std::string& name) {
  const char* held = std::getenv(name.c_str()); // NOLINT: before any thread is started
  return held ? std::optional<std::string>(held) : std::nullopt;
}

result<std::string> read_named(const std::string& path) {
  auto text = read_file(path, named_file_bytes_max);
  if (!text) return error{"", path + " " + text.failure().cause, ""};
  return text;
}

} // namespace

result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  const auto wrong = [](const std::string& why) { return error{"", "cannot be read: " + why, ""}; };
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return wrong(std::strerror(errno));
  std::string out;
  char piece[16 << 10];
  ssize_t n = 0;
  while (out.size() <= bytes_max && (n = read(fd, piece, sizeof piece)) != 0) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    out.append(piece, static_cast<std::size_t>(n));
  }
  const int failed = n < 0 ? errno : 0;
  close(fd);
  if (failed) return wrong(std::strerror(failed));
  if (out.size() > bytes_max) return wrong("it is larger than " + std::to_string(bytes_max) + " bytes");
  return out;
}

result<topology> load_topology(const std::string& file, const own_names& own) {
  const auto text = read_file(file, yaml_bytes_max);
  if (!text) return error{"topology", file + ": " + text.failure().cause, ""};
  return parse_topology(*text, file, from_environment, read_named, own);
}

} // namespace chute
