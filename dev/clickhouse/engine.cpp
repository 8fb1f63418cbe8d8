#include "dev/clickhouse/engine.hpp"

#include <charconv>
#include <dlfcn.h>
#include <stdexcept>

namespace chute::embedded {

struct chdb_functions {
  void* (*connect)(int, char**) = nullptr;
  void (*close)(void*) = nullptr;
  void (*signal_handlers)(int) = nullptr;
  void* (*query)(void*, const char*, std::size_t, const char*, std::size_t, const char* const*, const std::size_t*,
                 const char* const*, const std::size_t*, std::size_t) = nullptr;
  void (*destroy_result)(void*) = nullptr;
  char* (*buffer)(void*) = nullptr;
  std::size_t (*length)(void*) = nullptr;
  const char* (*error)(void*) = nullptr;
  double (*elapsed)(void*) = nullptr;
  std::uint64_t (*rows)(void*) = nullptr;
  std::uint64_t (*storage_rows)(void*) = nullptr;
  std::uint64_t (*storage_bytes)(void*) = nullptr;
  std::uint64_t (*rows_written)(void*) = nullptr;
  std::uint64_t (*bytes_written)(void*) = nullptr;
  void* (*insert)(void*, const char*, std::size_t, const char*, std::size_t, const char* const*, const std::size_t*,
                  const char* const*, const std::size_t*, std::size_t) = nullptr;
  int (*append)(void*, const void*, std::size_t) = nullptr;
  void* (*done)(void*) = nullptr;
  const char* (*insert_error)(void*) = nullptr;
  void (*destroy_insert)(void*) = nullptr;
};

namespace {

template <class Function> void load(void* library, const char* name, Function& into) {
  into = reinterpret_cast<Function>(dlsym(library, name));
  if (!into)
    throw std::runtime_error(std::string("libchdb.so has no ") + name +
                             ": it is another version than dev/chdb.lock names; run dev/install-deps");
}

std::unique_ptr<chdb_functions> load_functions(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library)
    throw std::runtime_error("cannot open the embedded ClickHouse engine: " + std::string(dlerror()) +
                             "; dev/install-deps fetches it, --library or CHUTE_LIBCHDB names another");
  auto api = std::make_unique<chdb_functions>();
  load(library, "chdb_connect", api->connect);
  load(library, "chdb_close_conn", api->close);
  load(library, "chdb_set_signal_handlers_enabled", api->signal_handlers);
  load(library, "chdb_query_with_params_n", api->query);
  load(library, "chdb_destroy_query_result", api->destroy_result);
  load(library, "chdb_result_buffer", api->buffer);
  load(library, "chdb_result_length", api->length);
  load(library, "chdb_result_error", api->error);
  load(library, "chdb_result_elapsed", api->elapsed);
  load(library, "chdb_result_rows_read", api->rows);
  load(library, "chdb_result_storage_rows_read", api->storage_rows);
  load(library, "chdb_result_storage_bytes_read", api->storage_bytes);
  load(library, "chdb_result_rows_written", api->rows_written);
  load(library, "chdb_result_bytes_written", api->bytes_written);
  load(library, "chdb_stream_insert_with_params_n", api->insert);
  load(library, "chdb_stream_append", api->append);
  load(library, "chdb_stream_done", api->done);
  load(library, "chdb_stream_insert_error", api->insert_error);
  load(library, "chdb_destroy_insert_stream", api->destroy_insert);
  return api;
}

/// Parameters in the shape of the C functions; points into `values`.
struct parameter_arrays {
  std::vector<const char*> names, texts;
  std::vector<std::size_t> name_lengths, text_lengths;

  explicit parameter_arrays(const parameters& values) {
    for (const auto& [name, text] : values) {
      names.push_back(name.data());
      name_lengths.push_back(name.size());
      texts.push_back(text.data());
      text_lengths.push_back(text.size());
    }
  }
};

} // namespace

engine_error make_engine_error(std::string_view text) {
  constexpr std::string_view prefix = "Code: ";
  int code = 0;
  if (text.starts_with(prefix)) std::from_chars(text.data() + prefix.size(), text.data() + text.size(), code);
  if (code == 0) return make_engine_error(1002, text, "UNKNOWN_EXCEPTION");
  return {code, std::string(text)};
}

engine_error make_engine_error(int code, std::string_view words, std::string_view name) {
  return {code,
          "Code: " + std::to_string(code) + ". DB::Exception: " + std::string(words) + ". (" + std::string(name) + ")"};
}

answer::answer(const chdb_functions& api, void* result) {
  if (!result) {
    error = make_engine_error(1002, "the engine gave no result", "UNKNOWN_EXCEPTION");
    return;
  }
  held_ = std::shared_ptr<void>(result, api.destroy_result);
  if (const char* text = api.error(result)) error = make_engine_error(text);
  if (const char* data = api.buffer(result)) bytes_ = {data, api.length(result)};
  rows_read = api.storage_rows(result);
  bytes_read = api.storage_bytes(result);
  rows_written = api.rows_written(result);
  bytes_written = api.bytes_written(result);
  result_rows = api.rows(result);
  elapsed_s = api.elapsed(result);
}

insert_stream::~insert_stream() { api_.destroy_insert(stream_); }

bool insert_stream::append(std::string_view bytes) { return api_.append(stream_, bytes.data(), bytes.size()) == 0; }

answer insert_stream::finish() { return answer(api_, api_.done(stream_)); }

connection::~connection() { api_.close(handle_); }

answer connection::query(std::string_view sql, std::string_view format, const parameters& values) {
  parameter_arrays p(values);
  void* session = *static_cast<void**>(handle_);
  return answer(api_, api_.query(session, sql.data(), sql.size(), format.data(), format.size(), p.names.data(),
                                 p.name_lengths.data(), p.texts.data(), p.text_lengths.data(), values.size()));
}

std::pair<std::unique_ptr<insert_stream>, std::optional<engine_error>>
connection::insert(std::string_view sql, std::string_view format, const parameters& values) {
  parameter_arrays p(values);
  void* session = *static_cast<void**>(handle_);
  void* stream = api_.insert(session, sql.data(), sql.size(), format.data(), format.size(), p.names.data(),
                             p.name_lengths.data(), p.texts.data(), p.text_lengths.data(), values.size());
  std::unique_ptr<insert_stream> owned(new insert_stream(api_, stream));
  if (const char* text = api_.insert_error(stream)) return {nullptr, make_engine_error(text)};
  return {std::move(owned), std::nullopt};
}

engine::engine(const std::string& library_path, const std::string& data_path,
               const std::vector<std::string>& extra_args)
    : api_(load_functions(library_path)) {
  // The server ends on its own terms, so signals stay with it.
  api_->signal_handlers(0);
  // A word that is no statement must be a syntax error, as on the real server, and not "SELECT word".
  args_ = {"clickhouse", "--implicit_select=0"};
  if (!data_path.empty()) args_.push_back("--path=" + data_path);
  args_.insert(args_.end(), extra_args.begin(), extra_args.end());
  keeps_open_ = connect();
}

engine::~engine() = default;

std::unique_ptr<connection> engine::connect() const {
  std::vector<std::string> copies = args_;
  std::vector<char*> argv;
  for (auto& arg : copies) argv.push_back(arg.data());
  void* handle = api_->connect(static_cast<int>(argv.size()), argv.data());
  if (!handle) throw std::runtime_error("the embedded ClickHouse engine refused a connection (its log has the reason)");
  return std::unique_ptr<connection>(new connection(*api_, handle));
}

} // namespace chute::embedded
