#include "actors/shared_store.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

using namespace chute;

namespace {

// Answers as often as it is told, or throws.
class odd_store final : public store {
public:
  enum class way { answers, throws, throws_int };
  odd_store(way w, std::size_t answers) : way_(w), answers_(answers) {}

  std::vector<loaded> load(const std::vector<lane_key>&, std::int64_t) override {
    may_throw();
    loaded found;
    found.status = loaded::status::found;
    return std::vector<loaded>(answers_, found);
  }
  std::vector<saved> save(const std::vector<save_request>&, std::int64_t) override {
    may_throw();
    return std::vector<saved>(answers_, saved{save_status::accepted, {}});
  }
  const char* name() const override { return "odd"; }

private:
  void may_throw() const {
    if (way_ == way::throws) throw std::runtime_error("the database is away");
    if (way_ == way::throws_int) throw 7;
  }
  way way_;
  std::size_t answers_;
};

shared_store odd(odd_store::way w, std::size_t answers) {
  return shared_store(std::make_unique<odd_store>(w, answers));
}

void nothing_is_known(shared_store&& s, const std::string& says) {
  const auto found = s.load(std::vector<lane_key>(3), 1'000);
  REQUIRE(found.size() == 3);
  for (const auto& f : found) {
    CHECK(f.status == loaded::status::failed); // never absent
    REQUIRE(f.failure);
    CHECK_MESSAGE(f.failure->text().find("the store odd: load() " + says) != std::string::npos, f.failure->text());
  }
  const auto told = s.save(std::vector<save_request>(3), 1'000);
  REQUIRE(told.size() == 3);
  for (const auto& t : told) {
    CHECK(t.status == save_status::unknown);
    REQUIRE(t.why);
    CHECK_MESSAGE(t.why->text().find("the store odd: save() " + says) != std::string::npos, t.why->text());
  }
}

} // namespace

TEST_CASE("a store that gives more or fewer answers than questions has told nothing") {
  for (const std::size_t n : {0, 2, 4})
    nothing_is_known(odd(odd_store::way::answers, n), "gave " + std::to_string(n) + " answers to 3 questions");
}

TEST_CASE("a store that throws has told nothing, and is asked again") {
  nothing_is_known(odd(odd_store::way::throws, 3), "threw: the database is away");
  nothing_is_known(odd(odd_store::way::throws_int, 3), "threw something");
}

TEST_CASE("the answers of a store go through as they are") {
  auto s = odd(odd_store::way::answers, 3);
  CHECK(s.load(std::vector<lane_key>(3), 1'000)[2].status == loaded::status::found);
  CHECK(s.save(std::vector<save_request>(3), 1'000)[2].status == save_status::accepted);
  CHECK(std::string(s.name()) == "odd");
}
