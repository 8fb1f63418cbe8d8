// Standard error, shared by log lines and one progress bar that stays below them. Any thread may write.
#pragma once

#include <cstdio>
#include <mutex>
#include <string>
#include <string_view>

namespace chute::cli {

class console {
public:
  // `out` outlives the console. A bar is only drawn on a terminal.
  explicit console(std::FILE* out);
  ~console(); // takes the bar away
  console(const console&) = delete;
  console& operator=(const console&) = delete;

  bool is_terminal() const { return terminal_; }
  std::size_t width() const;         // of the terminal, in columns; 80 where that is not known
  void line(std::string_view text);  // a line end is added
  void bar(const std::string& text); // replaces the bar; "" takes it away

private:
  void erase();
  void draw();

  std::FILE* out_;
  bool terminal_;
  std::mutex lock_;
  std::string bar_;
};

} // namespace chute::cli
