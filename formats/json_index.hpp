// Where the tokens of JSON texts begin: simdjson's first stage, run over many records at once.
//
// simdjson's On-Demand front end skips what nobody asks for without looking at it, and a DOM costs about twice as much
// as the rest of decoding. So only the first stage is simdjson's (UTF-8, quotes, the places of tokens: the vectorised
// part), and json_text.hpp walks over all of its tokens, so that a record is checked to its last byte.
// The interface used is the one that simdjson's own front ends share (internal::dom_parser_implementation).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace simdjson::internal {
class dom_parser_implementation;
}

namespace chute::json {

enum class index_error : std::uint8_t {
  none,
  invalid_utf8,
  control_character, // below 0x20, in a string
  unclosed_string,
};

// Token positions of one text: `count` of them, relative to `base`, ascending, then one at or behind `end` where
// nothing of JSON stands.
struct tokens {
  const char *base, *begin, *end;
  const std::uint32_t* first;
};

// A batch of texts in memory of its own, each with room for reads past its end.
class token_index {
public:
  token_index();
  ~token_index();
  // Bytes of texts that are worth taking at once: their tokens stay in the second level cache.
  static constexpr std::size_t batch_bytes = 96u << 10;
  // Reads of so many bytes from within a text are safe.
  static constexpr std::size_t padding = 160;

  void clear();
  void add(std::string_view text);
  std::size_t bytes() const { return used_; }
  // Finds the tokens of all texts. Then next() gives them in order.
  void build();
  // The next text's tokens; without an error they are valid until the next call.
  index_error next(tokens& out);
  // Where the walk over the current text ended, so that its tokens need not be counted again.
  void reached(const std::uint32_t* at);
  // Of all texts: no read of theirs goes beyond it by more than `padding`.
  const char* end() const { return memory_.get() + used_; }

private:
  bool index(const char* from, std::size_t size, index_error& why);
  void make_room(std::size_t size);

  struct text {
    std::size_t begin, end;
  };
  std::unique_ptr<simdjson::internal::dom_parser_implementation> stage_;
  std::unique_ptr<char[]> memory_;
  std::size_t capacity_ = 0, used_ = 0;
  std::vector<text> texts_;
  std::size_t current_ = 0;
  std::uint32_t position_ = 0; // the first token of the current text
  bool together_ = false;      // one run over all texts succeeded
};

} // namespace chute::json
