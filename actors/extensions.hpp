// What a host adds to an engine of its own: decoders and state stores, by the names that its topology uses.
#pragma once

#include "core/topology.hpp"
#include "formats/decoder.hpp"
#include "state/store.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace chute {

// `format: NAME`. Each converter makes a decoder of its own, so a decoder is used by one thread at a time.
struct decoder_kind {
  // Raised when the decoder makes another row of the same record than it did before: a plan that was made by another
  // version is then not sent again, but settled by asking the table.
  int version = 1;
  // Called with the columns that records fill, by several threads at once: once a converter, and anew when the columns
  // changed. An error says which column cannot be filled; the pipeline stops.
  std::function<result<std::unique_ptr<decoder>>(std::vector<target_column>, decoder_options)> make;
};

struct extensions {
  std::map<std::string, decoder_kind> decoders;
  // `state: {store: NAME}`. Opened once an engine, before anything runs; the engine calls it from one thread at a time.
  // Null, or an exception, is an error of engine::start().
  std::map<std::string, std::function<result<std::unique_ptr<store>>()>> stores;

  // What parse_topology() has to know of them.
  own_names names() const {
    own_names out;
    for (const auto& [name, kind] : decoders) out.formats.push_back(name);
    for (const auto& [name, open] : stores) out.stores.push_back(name);
    return out;
  }
};

} // namespace chute
