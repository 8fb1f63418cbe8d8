// The embedded engine: libchdb.so, opened at run time, behind types that own what they hold.
// The names and shapes of the C functions are those of chdb 26.7.3 (its header chdb.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace chute::embedded {

struct chdb_functions; // the loaded symbols

/// An error in ClickHouse's own words: "Code: 60. DB::Exception: … (UNKNOWN_TABLE)".
struct engine_error {
  int code = 0;
  std::string text;
};

/// Reads the code out of an engine's text; a text without one becomes code 1002 (UNKNOWN_EXCEPTION).
engine_error make_engine_error(std::string_view text);
engine_error make_engine_error(int code, std::string_view words, std::string_view name);

/// What a statement gave. `bytes()` is valid as long as a copy of the answer lives.
class answer {
public:
  std::optional<engine_error> error;
  std::uint64_t rows_read = 0;
  std::uint64_t bytes_read = 0;
  std::uint64_t rows_written = 0;
  std::uint64_t bytes_written = 0;
  std::uint64_t result_rows = 0;
  double elapsed_s = 0;

  std::string_view bytes() const { return bytes_; }

private:
  friend class connection;
  friend class insert_stream;
  answer() = default;
  answer(const chdb_functions& api, void* result); // takes the result over

  std::shared_ptr<void> held_;
  std::string_view bytes_;
};

/// Values of {name:Type} placeholders; they end with the one statement.
using parameters = std::vector<std::pair<std::string, std::string>>;

/// An INSERT whose rows are pushed. Destroyed without finish(), it is cancelled and writes nothing more.
class insert_stream {
public:
  ~insert_stream();
  insert_stream(const insert_stream&) = delete;
  insert_stream& operator=(const insert_stream&) = delete;

  /// May block while the engine is behind. False: the insert has failed, finish() says why.
  bool append(std::string_view bytes);
  answer finish();

private:
  friend class connection;
  insert_stream(const chdb_functions& api, void* stream) : api_(api), stream_(stream) {}

  const chdb_functions& api_;
  void* stream_;
};

/// One session of the engine: settings and the current database belong to it alone. One statement at a time.
/// Making one costs less than 0.1 ms.
class connection {
public:
  ~connection();
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  answer query(std::string_view sql, std::string_view format, const parameters& values = {});
  /// `sql` is the INSERT without its FORMAT clause. An error here is the engine's refusal; nothing was written.
  std::pair<std::unique_ptr<insert_stream>, std::optional<engine_error>>
  insert(std::string_view sql, std::string_view format, const parameters& values = {});

private:
  friend class engine;
  connection(const chdb_functions& api, void* handle) : api_(api), handle_(handle) {}

  const chdb_functions& api_;
  void* handle_; // a pointer to the library's connection pointer
};

/// The engine of this process. There can be only one path a process, and it must outlive all connections.
class engine {
public:
  /// Throws std::runtime_error that names the cause: a library that is not there, a path that is not usable.
  engine(const std::string& library_path, const std::string& data_path, const std::vector<std::string>& extra_args);
  ~engine();
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  /// Throws std::runtime_error when the engine refuses.
  std::unique_ptr<connection> connect() const;

private:
  std::unique_ptr<chdb_functions> api_;
  std::vector<std::string> args_;
  std::unique_ptr<connection> keeps_open_; // closing the last connection would shut the engine down
};

} // namespace chute::embedded
