// Errors as values: what failed, why, and the way out. Every error that a user can meet carries all three.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

namespace chute {

struct error {
  std::string component; // who: "topology", "kafka", "clickhouse", "lane orders/0", …
  std::string cause;     // what happened, with topic, partition and offset wherever there is one
  std::string way_out;   // what a person can do about it; empty if the engine goes on by itself

  std::string text() const {
    std::string out = component + ": " + cause;
    if (!way_out.empty()) out += " (" + way_out + ")";
    return out;
  }
};

// A value or an error. Reading the wrong one throws std::logic_error: ask first.
template <class T> class [[nodiscard]] result {
public:
  result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  result(error e) : state_(std::in_place_index<1>, std::move(e)) {}

  explicit operator bool() const { return state_.index() == 0; }
  bool ok() const { return state_.index() == 0; }
  T& operator*() & { return value(); }
  const T& operator*() const& { return const_cast<result*>(this)->value(); }
  T operator*() && { return std::move(value()); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &const_cast<result*>(this)->value(); }
  const chute::error& failure() const {
    if (ok()) throw std::logic_error("result: no error to read");
    return std::get<1>(state_);
  }

private:
  T& value() {
    if (!ok()) throw std::logic_error("result: " + std::get<1>(state_).text());
    return std::get<0>(state_);
  }
  std::variant<T, chute::error> state_;
};

// Success, or an error.
template <> class [[nodiscard]] result<void> {
public:
  result() = default;
  result(error e) : error_(std::move(e)) {}
  explicit operator bool() const { return !error_; }
  bool ok() const { return !error_; }
  const chute::error& failure() const {
    if (!error_) throw std::logic_error("result: no error to read");
    return *error_;
  }

private:
  std::optional<chute::error> error_;
};

} // namespace chute
