// A program beside the tests, talked to over its standard input and output; it can be stopped like a frozen process.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include <sys/types.h>

namespace chute::test {

class child {
public:
  // `program` lies in the folder of the running one.
  child(const std::string& program, const std::vector<std::string>& arguments);
  ~child(); // kills it
  child(const child&) = delete;
  child& operator=(const child&) = delete;

  void write(const std::string& text);
  bool wait_for(const std::string& line, std::chrono::milliseconds limit = std::chrono::milliseconds(20'000));
  // Reads what there is. Whether more than `skip` lines begin with `start`; `line` is then the one behind those.
  bool line_with(const std::string& start, std::size_t skip, std::string& line);
  void stop(); // SIGSTOP
  void wake(); // SIGCONT
  void kill(); // SIGKILL, and waits

private:
  void read_more();
  pid_t pid_ = -1;
  int in_ = -1, out_ = -1;
  std::string rest_;
  std::vector<std::string> lines_;
};

} // namespace chute::test
