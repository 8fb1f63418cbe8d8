// The status page: one HTML file that needs nothing from elsewhere.
#pragma once

#include <string_view>

namespace chute {

extern const std::string_view status_page;

} // namespace chute
