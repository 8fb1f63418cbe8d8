#include "formats/json_index.hpp"

#include <cstring>
#include <new>
#include <simdjson.h>

namespace chute::json {
namespace {

// Between two texts. A string that is open at the end of one becomes a string with a line feed in it, which is an
// error, so no text can reach into the next; the zero byte is a token that no JSON has, where every walk ends.
constexpr std::string_view separator{"\n\0\n", 3};
constexpr std::size_t depth_unused = 1; // of simdjson's second stage, which is not run

} // namespace

token_index::token_index() = default;
token_index::~token_index() = default;

void token_index::clear() {
  texts_.clear();
  used_ = 0;
  current_ = 0;
  // A single huge record must not hold its memory for ever.
  if (capacity_ > 16 * batch_bytes) {
    memory_.reset();
    stage_.reset();
    capacity_ = 0;
  }
}

void token_index::make_room(std::size_t size) {
  if (size <= capacity_) return;
  const std::size_t next = std::max(size, 2 * batch_bytes);
  std::unique_ptr<char[]> larger(new char[next + padding]);
  if (used_) std::memcpy(larger.get(), memory_.get(), used_);
  std::memset(larger.get() + next, 0, padding);
  const auto e =
      stage_ ? stage_->set_capacity(next)
             : simdjson::get_active_implementation()->create_dom_parser_implementation(next, depth_unused, stage_);
  if (e != simdjson::SUCCESS) throw std::bad_alloc();
  memory_ = std::move(larger);
  capacity_ = next;
}

void token_index::add(std::string_view text) {
  make_room(used_ + text.size() + separator.size());
  texts_.push_back({used_, used_ + text.size()});
  if (!text.empty()) std::memcpy(memory_.get() + used_, text.data(), text.size());
  used_ += text.size();
  std::memcpy(memory_.get() + used_, separator.data(), separator.size());
  used_ += separator.size();
}

bool token_index::index(const char* from, std::size_t size, index_error& why) {
  why = index_error::none;
  const auto e = stage_->stage1(reinterpret_cast<const std::uint8_t*>(from), size, simdjson::stage1_mode::regular);
  switch (e) {
  case simdjson::SUCCESS: return true;
  case simdjson::UTF8_ERROR: why = index_error::invalid_utf8; break;
  case simdjson::UNESCAPED_CHARS: why = index_error::control_character; break;
  default: why = index_error::unclosed_string; break;
  }
  return false;
}

void token_index::build() {
  current_ = 0;
  position_ = 0;
  index_error why;
  together_ = !texts_.empty() && index(memory_.get(), used_, why);
}

index_error token_index::next(tokens& out) {
  const char* const memory = memory_.get();
  if (together_ && current_ > 0) {
    // Past the zero byte behind the text before: it may hold zero bytes of its own, so places decide.
    const std::uint32_t* const all = stage_->structural_indexes.get();
    while (all[position_] <= texts_[current_ - 1].end) ++position_;
    ++position_;
  }
  const text t = texts_[current_++];
  if (together_) {
    out = {memory, memory + t.begin, memory + t.end, stage_->structural_indexes.get() + position_};
    return index_error::none;
  }
  const std::size_t size = t.end - t.begin;
  if (std::string_view(memory + t.begin, size).find_first_not_of(" \t\r\n") == std::string_view::npos) {
    static constexpr std::uint32_t no_token = 0;
    out = {memory + t.end, memory + t.end, memory + t.end, &no_token};
    return index_error::none;
  }
  index_error why;
  out = {memory + t.begin, memory + t.begin, memory + t.end, nullptr};
  if (!index(out.begin, size, why)) return why;
  out.first = stage_->structural_indexes.get();
  return index_error::none;
}

void token_index::reached(const std::uint32_t* at) {
  if (together_) position_ = static_cast<std::uint32_t>(at - stage_->structural_indexes.get());
}

} // namespace chute::json
