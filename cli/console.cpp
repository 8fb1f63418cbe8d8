#include "cli/console.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

namespace chute::cli {
namespace {

bool draws_on(std::FILE* out) {
  const char* kind = std::getenv("TERM"); // NOLINT: before any thread is started
  return isatty(fileno(out)) != 0 && kind && std::string_view(kind) != "dumb";
}

} // namespace

console::console(std::FILE* out) : out_(out), terminal_(draws_on(out)) {}

console::~console() { bar(""); }

std::size_t console::width() const {
  winsize size{};
  if (ioctl(fileno(out_), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

void console::line(std::string_view text) {
  const std::lock_guard held(lock_);
  erase();
  std::fwrite(text.data(), 1, text.size(), out_);
  std::fputc('\n', out_);
  draw();
  std::fflush(out_);
}

void console::bar(const std::string& text) {
  if (!terminal_) return;
  const std::lock_guard held(lock_);
  erase();
  bar_ = text;
  draw();
  std::fflush(out_);
}

// To the line's begin, and clear to its end (ECMA-48).
void console::erase() {
  if (!bar_.empty()) std::fputs("\r\x1b[K", out_);
}

void console::draw() {
  if (!bar_.empty()) std::fwrite(bar_.data(), 1, bar_.size(), out_);
}

} // namespace chute::cli
