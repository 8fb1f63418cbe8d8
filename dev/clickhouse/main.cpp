// chute-clickhouse: the embedded ClickHouse engine behind ClickHouse's HTTP interface, for the quick start and the
// tests.
#include "dev/clickhouse/face.hpp"
#include "dev/clickhouse/http_server.hpp"

#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <pthread.h>
#include <stdexcept>
#include <sys/file.h>
#include <thread>
#include <unistd.h>

namespace {

using namespace chute::embedded;

constexpr int shutdown_ms = 10'000;

struct settings {
  std::string listen = "127.0.0.1:18123";
  std::string path;
  std::string library;
  std::string config;
  face_options face;
};

/// Where dev/install-deps keeps the engine: the folder's name is fixed when this is built, from dev/chdb.lock.
std::string library_in_cache() {
  if (const char* given = std::getenv("CHUTE_LIBCHDB"); given && *given) return given;
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  std::string base = cache && *cache ? cache : std::string(home ? home : "") + "/.cache";
  return base + "/chute/" CHUTE_CHDB_FOLDER "/libchdb.so";
}

std::pair<std::string, int> host_and_port(const std::string& listen) {
  std::size_t colon = listen.rfind(':');
  char* end = nullptr;
  long port = colon == listen.npos ? -1 : std::strtol(listen.c_str() + colon + 1, &end, 10);
  if (port < 0 || port > 65535 || !end || *end || colon + 1 == listen.size())
    throw std::runtime_error("--listen takes HOST:PORT, and not " + listen);
  return {listen.substr(0, colon), static_cast<int>(port)};
}

/// Two engines on one path would ruin it. The lock goes with the process, however it ends.
void lock_path(const std::string& path) {
  std::error_code failed;
  std::filesystem::create_directories(path, failed);
  std::string file = path + "/chute-clickhouse.lock";
  int fd = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) throw std::runtime_error("cannot write to " + path + ": " + std::strerror(errno));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0)
    throw std::runtime_error(path + " is in use by another chute-clickhouse: stop it, or choose another --path");
}

/// Serves until SIGTERM or SIGINT. The exit code.
int serve(const settings& s) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr); // inherited by every thread of the engine
  std::signal(SIGPIPE, SIG_IGN);

  auto [host, port] = host_and_port(s.listen);
  std::string path = s.path.empty() ? "" : std::filesystem::absolute(s.path).string();
  if (!path.empty()) lock_path(path);
  http_server server{http_limits{}};
  if ((port = server.open(host, port)) < 0)
    throw std::runtime_error("cannot listen on " + s.listen + ": is the port taken?");

  std::vector<std::string> engine_args;
  if (!s.config.empty()) engine_args.push_back("--config-file=" + s.config);
  engine engine(s.library, path, engine_args);
  face face(engine, s.face);
  face.install(server);
  std::thread listener([&] { server.listen_after_bind(); });
  std::fprintf(stderr, "chute-clickhouse: ClickHouse %s answers on http://%s:%d, database %s, data in %s\n",
               face.version().c_str(), host.c_str(), port, s.face.database.c_str(),
               path.empty() ? "memory" : path.c_str());

  int signal = 0;
  sigwait(&ends, &signal);
  std::fprintf(stderr, "chute-clickhouse: stopping on signal %d\n", signal);
  bool clean = server.shut_down(shutdown_ms);
  if (!clean) std::fprintf(stderr, "chute-clickhouse: requests were still running after %d ms\n", shutdown_ms);
  if (clean) listener.join();
  // The engine's threads and its library's statics end with the process; its data is safe at every moment.
  std::fflush(nullptr);
  _exit(clean ? 0 : 1);
}

} // namespace

int main(int argc, char** argv) {
  settings s;
  s.library = library_in_cache();
  CLI::App app{"The embedded ClickHouse engine behind ClickHouse's HTTP interface. For tests and the quick start."};
  app.add_option("--listen", s.listen, "HOST:PORT; port 0 takes a free one")->capture_default_str();
  app.add_option("--path", s.path, "where data is kept; without it, nothing is");
  app.add_option("--database", s.face.database, "made at the start, and current where a request names none")
      ->capture_default_str();
  app.add_option("--user", s.face.user, "the one user")->capture_default_str();
  app.add_option("--password", s.face.password, "its password");
  app.add_option("--max-statements", s.face.statements, "that run at once; more wait")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--library", s.library, "libchdb.so")->capture_default_str();
  app.add_option("--config-file", s.config, "a ClickHouse configuration file for the engine");
  CLI11_PARSE(app, argc, argv);
  try {
    return serve(s);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "chute-clickhouse: %s\n", e.what());
    std::fflush(nullptr);
    _exit(1);
  }
}
