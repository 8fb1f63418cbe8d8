#include "actors/shared_store.hpp"

#include <exception>

namespace chute {

namespace {

// The answers of one call; without `failure` they are as many as were asked for.
template <class T> struct answers {
  std::vector<T> all;
  std::optional<error> failure;
};

template <class T, class F> answers<T> ask(const std::string& store, const char* call, std::size_t wanted, F&& f) {
  answers<T> out;
  const auto failed = [&](const std::string& what) {
    out.failure = error{"state", "the store " + store + ": " + call + "() " + what, "it is asked again"};
  };
  try {
    out.all = f();
    if (out.all.size() != wanted)
      failed("gave " + std::to_string(out.all.size()) + " answers to " + std::to_string(wanted) + " questions");
  } catch (const std::exception& e) {
    failed(std::string("threw: ") + e.what());
  } catch (...) {
    failed("threw something that is no std::exception");
  }
  return out;
}

std::string name_of(const store& s) {
  const char* name = s.name();
  return name && *name ? name : "of the host";
}

} // namespace

shared_store::shared_store(std::unique_ptr<store> s) : store_(std::move(s)), name_(name_of(*store_)) {}

std::vector<loaded> shared_store::load(const std::vector<lane_key>& lanes, std::int64_t limit_ms) {
  std::lock_guard hold(lock_);
  auto found = ask<loaded>(name_, "load", lanes.size(), [&] { return store_->load(lanes, limit_ms); });
  if (!found.failure) return std::move(found.all);
  loaded failed;
  failed.status = loaded::status::failed;
  failed.failure = std::move(found.failure);
  return std::vector<loaded>(lanes.size(), failed);
}

std::vector<saved> shared_store::save(const std::vector<save_request>& requests, std::int64_t limit_ms) {
  std::lock_guard hold(lock_);
  auto told = ask<saved>(name_, "save", requests.size(), [&] { return store_->save(requests, limit_ms); });
  if (!told.failure) return std::move(told.all);
  return std::vector<saved>(requests.size(), saved{save_status::unknown, std::move(told.failure)});
}

} // namespace chute
