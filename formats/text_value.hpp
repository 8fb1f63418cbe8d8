// Text → one value of a column of any scalar type: what CSV fields, headers, keys and constants need.
#pragma once

#include "core/block.hpp"
#include "core/error.hpp"
#include "formats/values.hpp"
#include "formats/values_time.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace chute {

class text_value {
public:
  // `wire`: a scalar storage type or Nullable of one (else an error that names it). `timezone`: where the type names
  // none.
  static result<text_value> make(const type_ptr& wire, const std::string& timezone);

  // Appends one value that is not null. String takes the bytes as they are, FixedString(n) up to n of them (then zeros,
  // as ClickHouse fills it up). After an error nothing was appended.
  value_error append(std::string_view text, column& out);

private:
  value_error append_scalar(std::string_view text, column& out);
  value_error append_integer(std::string_view text, bool is_signed, column& out);
  value_error append_time(std::string_view text, column& out);

  type_ptr type_; // without Nullable
  std::shared_ptr<const zone> zone_;
  std::size_t hint_ = 0;
  enum_index enum_;
};

} // namespace chute
