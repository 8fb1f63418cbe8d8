// JSON text → one value of a column of any type that JSON can fill: what composite values of other formats go through.
#pragma once

#include "core/block.hpp"
#include "core/error.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace chute {

class json_value {
public:
  // `type`: as the table has it. `timezone`: of types that name none. An error names what JSON cannot fill.
  static result<json_value> make(const type_ptr& type, const std::string& timezone);
  ~json_value();
  json_value(json_value&&) noexcept;
  json_value& operator=(json_value&&) noexcept;

  // Appends the one value that the text is, to a column of the type's storage type. What is wrong with it, as a half
  // sentence, or nothing. After an error the column may hold half a value.
  std::string append(std::string_view text, column& out);

private:
  struct parser;
  explicit json_value(std::unique_ptr<parser> p);
  std::unique_ptr<parser> parser_;
};

} // namespace chute
