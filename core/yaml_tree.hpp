// YAML as a tree that remembers its lines, with variables filled in. Only for the topology's reader.
#pragma once

#include "core/topology.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace chute {

// Something wrong with the file, and where. Lines count from 1.
struct yaml_problem {
  int line = 0;
  std::string text;
};

struct yaml_node;
using yaml_ptr = std::shared_ptr<const yaml_node>; // shared, because an alias is the node that it names

struct yaml_entry {
  std::string key;
  int line = 0;
  yaml_ptr value;
};

struct yaml_node {
  enum class kind : std::uint8_t { null, scalar, sequence, mapping };
  kind what = kind::null;
  int line = 0;
  std::string text;                // scalar
  bool unusable = false;           // scalar: a variable could not be filled in, and that is reported already
  std::vector<yaml_ptr> items;     // sequence
  std::vector<yaml_entry> entries; // mapping, in the file's order; keys differ. `<<` has been merged in
  std::size_t size = 1;            // nodes in it, those behind aliases counted each time
};

// Limits; beyond them the file is refused.
constexpr std::size_t yaml_bytes_max = 1u << 20;
constexpr std::size_t yaml_nodes_max = 100'000; // aliases counted as often as they stand: no file can grow by them
constexpr int yaml_depth_max = 32;

// Reads one document. ${NAME} and ${NAME:-default} stand for variables in values, wherever they are quoted or not, also
// within {…} and […]; $${…} stands for ${…} itself; what a variable holds is never read as YAML. Problems are appended;
// null if there is no tree at all.
yaml_ptr read_yaml(const std::string& text, const environment& env, std::vector<yaml_problem>& problems);

} // namespace chute
