#include "dev/clickhouse/face.hpp"

#include "dev/clickhouse/codec.hpp"
#include "dev/clickhouse/http_server.hpp"
#include "dev/clickhouse/request.hpp"
#include "dev/clickhouse/statement.hpp"

#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <stdexcept>

namespace chute::embedded {

/// A bound on the statements that run at once.
class statement_slots {
public:
  explicit statement_slots(int count) : free_(count) {}

  bool take(int wait_ms) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::milliseconds(wait_ms), [&] { return free_ > 0; })) return false;
    --free_;
    return true;
  }
  void give_back() {
    std::lock_guard lock(mutex_);
    ++free_;
    changed_.notify_one();
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int free_;
};

namespace {

constexpr std::size_t statement_bytes_max = 1 << 20; // the engine's own limit, max_query_size, is lower
constexpr std::size_t append_bytes = 1 << 20;

std::string quoted_name(const std::string& name) {
  std::string out = "`";
  for (char c : name) {
    if (c == '`' || c == '\\') out += '\\';
    out += c;
  }
  return out + "`";
}

std::string summary(const answer& a) {
  char text[320];
  std::snprintf(text, sizeof text,
                R"({"read_rows":"%llu","read_bytes":"%llu","written_rows":"%llu","written_bytes":"%llu",)"
                R"("total_rows_to_read":"0","result_rows":"%llu","result_bytes":"%llu","elapsed_ns":"%llu"})",
                static_cast<unsigned long long>(a.rows_read), static_cast<unsigned long long>(a.bytes_read),
                static_cast<unsigned long long>(a.rows_written), static_cast<unsigned long long>(a.bytes_written),
                static_cast<unsigned long long>(a.rows_written ? a.rows_written : a.result_rows),
                static_cast<unsigned long long>(a.bytes_written ? a.bytes_written : a.bytes().size()),
                static_cast<unsigned long long>(std::llround(a.elapsed_s * 1e9)));
  return text;
}

} // namespace

/// One request and its reply. An INSERT's rows go to the engine as they come in; whatever fails is kept, the rest of
/// the body is read and dropped, and the reply says what failed.
class exchange {
public:
  exchange(const face& owner, const httplib::Request& request)
      : owner_(owner), request_(request), terms_(read_terms(request)), decoder_(make_decoder(terms_.body_encoding)) {
    error_ = terms_.refusal;
    check_user();
  }
  ~exchange() { release(); }

  void read_body(const httplib::ContentReader& reader) {
    if (request_.is_multipart_form_data()) return read_form(reader);
    bool whole = reader([&](const char* data, std::size_t size) {
      take({data, size});
      return true;
    });
    body_left_ = !whole;
    if (decoder_ && seen_body_ && !decoder_->complete()) whole = false;
    if (!whole)
      fail(make_engine_error(33, "The body of the request ended early, or is not what its Content-Encoding says",
                             "CANNOT_READ_ALL_DATA"));
  }

  void run() {
    if (error_) return;
    if (inserting_) return finish_insert();
    if (!begun_) text_ = terms_.query;
    statement s = split(text_, true);
    if (s.takes_data) {
      begin_insert(s);
      return finish_insert();
    }
    if (s.empty) return fail(make_engine_error(62, "Syntax error: the query is empty", "SYNTAX_ERROR"));
    if (s.several)
      return fail(make_engine_error(62, "Syntax error (Multi-statements are not allowed)", "SYNTAX_ERROR"));
    if (!s.format.empty()) format_ = s.format;
    if (!open()) return;
    answer_.emplace(session_->query(s.text, default_format(), terms_.values));
    error_ = answer_->error;
    release();
  }

  void reply(httplib::Response& response) {
    describe(response);
    if (body_left_) http_server::close_after_reply(response);
    if (error_) return reply_error(response);
    response.status = 200;
    if (!answer_) return response.set_content("", "text/plain; charset=UTF-8");
    response.set_header("X-ClickHouse-Summary", summary(*answer_));
    std::string type = content_type(inserting_ ? "TabSeparated" : format());
    std::string_view bytes = answer_->bytes();
    if (bytes.empty()) return response.set_content("", type);
    if (!terms_.reply_encoding.empty()) {
      response.set_header("Content-Encoding", terms_.reply_encoding);
      return response.set_content(encode(bytes, terms_.reply_encoding), type);
    }
    // The result is sent from where the engine left it.
    response.set_content_provider(bytes.size(), type,
                                  [kept = *answer_](std::size_t at, std::size_t size, httplib::DataSink& sink) {
                                    return sink.write(kept.bytes().data() + at, std::min<std::size_t>(size, 1 << 20));
                                  });
  }

  void fail(engine_error error) {
    if (!error_) error_ = std::move(error);
    insert_.reset();
    release();
  }

  const std::string& url_query() const { return terms_.query; }

private:
  void check_user() {
    const auto& o = owner_.options_;
    if (terms_.user == o.user && terms_.password == o.password) return;
    fail(make_engine_error(
        516, terms_.user + ": Authentication failed: password is incorrect, or there is no user with such name",
        "AUTHENTICATION_FAILED"));
  }

  void take(std::string_view bytes) {
    seen_body_ = true;
    if (error_) return;
    if (!decoder_) return take_plain(bytes);
    byte_sink sink = [&](std::string_view plain) {
      take_plain(plain);
      return true;
    };
    if (!decoder_->push(bytes, sink))
      fail(make_engine_error(432, "The body is not what its Content-Encoding (" + terms_.body_encoding + ") says",
                             "UNKNOWN_COMPRESSION_METHOD"));
  }

  void take_plain(std::string_view bytes) {
    if (error_) return;
    if (inserting_) return take_rows(bytes);
    if (!begun_) begin_text();
    text_ += bytes;
    if (text_.size() < next_look_) return;
    statement s = split(text_, false);
    if (s.takes_data) return begin_insert(s);
    next_look_ = text_.size() * 2;
    if (text_.size() > statement_bytes_max)
      fail(make_engine_error(62, "Max query size exceeded (1 MiB without the rows of an INSERT)", "SYNTAX_ERROR"));
  }

  /// The statement may begin in the URL and go on in the body; a line end stands between.
  void begin_text() {
    begun_ = true;
    text_ = terms_.query;
    if (text_.empty()) return;
    while (!text_.empty() && std::isspace(static_cast<unsigned char>(text_.back()))) text_.pop_back();
    text_ += '\n';
  }

  void begin_insert(const statement& s) {
    inserting_ = true;
    insert_text_ = s.text;
    format_ = s.format;
    rows_ = text_.substr(s.data_begin);
    text_.clear();
    open_insert(); // at once, so that system.processes shows it while the rows are on their way
  }

  void take_rows(std::string_view bytes) {
    rows_ += bytes;
    if (rows_.size() >= append_bytes) send_rows();
  }

  bool send_rows() {
    if (error_) return false;
    bool taken = rows_.empty() || insert_->append(rows_);
    rows_.clear();
    if (taken) return true;
    answer_.emplace(insert_->finish());
    fail(answer_->error.value_or(make_engine_error(1002, "The engine refused the rows", "UNKNOWN_EXCEPTION")));
    return false;
  }

  void open_insert() {
    if (!open()) return;
    auto [stream, refused] = session_->insert(insert_text_, format_, terms_.values);
    if (refused) return fail(*refused);
    insert_ = std::move(stream);
  }

  void finish_insert() {
    if (!send_rows()) return;
    answer_.emplace(insert_->finish());
    error_ = answer_->error;
    insert_.reset();
    release();
  }

  /// A session with the request's database and settings. GET only reads, as on the real server.
  bool open() {
    const auto& o = owner_.options_;
    if (!owner_.slots_->take(o.queue_ms)) {
      fail(make_engine_error(202, "Too many simultaneous queries. Maximum: " + std::to_string(o.statements),
                             "TOO_MANY_SIMULTANEOUS_QUERIES"));
      return false;
    }
    holds_slot_ = true;
    try {
      session_ = owner_.engine_.connect();
    } catch (const std::exception& e) {
      fail(make_engine_error(1001, e.what(), "STD_EXCEPTION"));
      return false;
    }
    const std::string& database = terms_.database.empty() ? o.database : terms_.database;
    if (!prepare("USE " + quoted_name(database)) || !prepare(settings_statement(terms_))) return false;
    return request_.method != "GET" || prepare("SET readonly = 2");
  }

  bool prepare(const std::string& sql) {
    if (sql.empty()) return true;
    answer a = session_->query(sql, "Null");
    if (a.error) fail(*a.error);
    return !a.error;
  }

  void release() {
    insert_.reset();
    session_.reset();
    if (holds_slot_) owner_.slots_->give_back();
    holds_slot_ = false;
  }

  /// Fields of a form: "query", and param_… for placeholders.
  void read_form(const httplib::ContentReader& reader) {
    std::string name, value, query;
    auto end_of_field = [&] {
      if (name == "query") query += value;
      else if (name.starts_with("param_")) terms_.values.emplace_back(name.substr(6), value);
      else if (!name.empty())
        fail(make_engine_error(48, "The embedded server takes no external tables (form field " + name + ")",
                               "NOT_IMPLEMENTED"));
      value.clear();
    };
    bool whole = reader(
        [&](const httplib::MultipartFormData& field) {
          end_of_field();
          name = field.name;
          return true;
        },
        [&](const char* data, std::size_t size) {
          if (value.size() + size <= statement_bytes_max) value.append(data, size);
          else fail(make_engine_error(62, "Max query size exceeded (1 MiB in a form)", "SYNTAX_ERROR"));
          return true;
        });
    end_of_field();
    body_left_ = !whole;
    if (!whole) fail(make_engine_error(33, "The form ended early", "CANNOT_READ_ALL_DATA"));
    take_plain(query);
  }

  std::string default_format() const { return terms_.format.empty() ? "TabSeparated" : terms_.format; }
  std::string format() const { return format_.empty() ? default_format() : format_; }

  void describe(httplib::Response& response) const {
    response.set_header("X-ClickHouse-Server-Display-Name", owner_.options_.display_name);
    response.set_header("X-ClickHouse-Query-Id", terms_.query_id);
    response.set_header("X-ClickHouse-Timezone", owner_.timezone_);
    if (!error_) response.set_header("X-ClickHouse-Format", format());
  }

  void reply_error(httplib::Response& response) const {
    std::string text = error_->text;
    if (text.find("(version ") == text.npos) text += " (version " + owner_.version_ + ")";
    response.status = http_status(error_->code);
    response.set_header("X-ClickHouse-Exception-Code", std::to_string(error_->code));
    response.set_content(text + "\n", "text/plain; charset=UTF-8");
    std::fprintf(stderr, "%s %s failed: %.400s\n", request_.method.c_str(), terms_.query_id.c_str(), text.c_str());
  }

  const face& owner_;
  const httplib::Request& request_;
  request_terms terms_;
  std::unique_ptr<decoder> decoder_;
  bool seen_body_ = false;
  bool begun_ = false;
  bool body_left_ = false;
  std::string text_;          // of the statement, as far as it has come
  std::size_t next_look_ = 1; // how long it must be before it is looked at again
  bool inserting_ = false;
  std::string insert_text_, format_, rows_;
  bool holds_slot_ = false;
  std::unique_ptr<connection> session_;
  std::unique_ptr<insert_stream> insert_;
  std::optional<answer> answer_;
  std::optional<engine_error> error_;
};

face::face(engine& engine, face_options options)
    : engine_(engine), options_(std::move(options)), slots_(std::make_unique<statement_slots>(options_.statements)) {
  auto session = engine_.connect();
  auto ask = [&](const std::string& sql) {
    answer a = session->query(sql, "TabSeparatedRaw");
    if (a.error) throw std::runtime_error("the embedded engine refused \"" + sql + "\": " + a.error->text);
    std::string text(a.bytes());
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  };
  version_ = ask("SELECT version()");
  timezone_ = ask("SELECT timezone()");
  if (options_.display_name.empty()) options_.display_name = ask("SELECT hostName()");
  ask("CREATE DATABASE IF NOT EXISTS " + quoted_name(options_.database) + " ENGINE = Atomic");
}

face::~face() = default;

void face::answer_query(const httplib::Request& request, httplib::Response& response,
                        const httplib::ContentReader* reader) const {
  exchange e(*this, request);
  if (!reader && e.url_query().empty()) return response.set_content("Ok.\n", "text/html; charset=UTF-8");
  if (reader) {
    if (!request.has_header("Content-Length") && !request.has_header("Transfer-Encoding"))
      e.fail(make_engine_error(
          381, "The Transfer-Encoding is not chunked and there is no Content-Length header for POST request",
          "HTTP_LENGTH_REQUIRED"));
    else e.read_body(*reader);
  }
  e.run();
  e.reply(response);
}

void face::install(httplib::Server& server) {
  auto ok = [](const httplib::Request&, httplib::Response& response) {
    response.set_content("Ok.\n", "text/html; charset=UTF-8");
  };
  server.Get("/ping", ok);
  server.Get("/replicas_status", ok);
  server.Get("/", [this](const httplib::Request& q, httplib::Response& r) { answer_query(q, r, nullptr); });
  server.Post("/", [this](const httplib::Request& q, httplib::Response& r, const httplib::ContentReader& reader) {
    answer_query(q, r, &reader);
  });
  server.set_exception_handler([](const httplib::Request&, httplib::Response& response, std::exception_ptr cause) {
    std::string words = "unknown";
    try {
      std::rethrow_exception(cause);
    } catch (const std::exception& e) {
      words = e.what();
    } catch (...) {
    }
    engine_error e = make_engine_error(1001, "The embedded server failed: " + words, "STD_EXCEPTION");
    response.status = 500;
    response.set_header("X-ClickHouse-Exception-Code", "1001");
    response.set_content(e.text + "\n", "text/plain; charset=UTF-8");
  });
  server.set_error_handler([](const httplib::Request& request, httplib::Response& response) {
    if (response.status == 404 && response.body.empty() && !response.has_header("X-ClickHouse-Exception-Code"))
      response.set_content("There is no handle " + request.path + "\n", "text/plain; charset=UTF-8");
  });
}

} // namespace chute::embedded
