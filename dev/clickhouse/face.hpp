// ClickHouse's HTTP interface, as clients see it, in front of the embedded engine. What it does and does not do:
// dev/README.md.
#pragma once

#include "dev/clickhouse/engine.hpp"

#include <cstdint>
#include <httplib.h>
#include <memory>
#include <string>

namespace chute::embedded {

struct face_options {
  std::string user = "default";
  std::string password;           // empty: none is asked for
  std::string database = "chute"; // made with the Atomic engine, and current where a request names none
  std::string display_name;       // X-ClickHouse-Server-Display-Name
  int statements = 200;           // at once; more wait
  int queue_ms = 30'000;          // how long they wait before error 202
};

class statement_slots;

class face {
public:
  /// Makes the database. Throws std::runtime_error if the engine refuses it.
  face(engine& engine, face_options options);
  ~face();

  /// Adds the handlers to a server, which must not outlive the face.
  void install(httplib::Server& server);

  const std::string& version() const { return version_; }

private:
  friend class exchange;

  void answer_query(const httplib::Request& request, httplib::Response& response,
                    const httplib::ContentReader* reader) const;

  engine& engine_;
  face_options options_;
  std::unique_ptr<statement_slots> slots_;
  std::string version_;
  std::string timezone_;
};

} // namespace chute::embedded
