#include "test/stores/child.hpp"

#include "test/stores/real_broker.hpp"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

namespace chute::test {

child::child(const std::string& program, const std::vector<std::string>& arguments) {
  auto path = (std::filesystem::read_symlink("/proc/self/exe").parent_path() / program).string();
  int to[2], from[2];
  if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC)) throw std::runtime_error("pipe2 failed");
  std::vector<char*> argv = {path.data()};
  auto copies = arguments;
  for (auto& a : copies) argv.push_back(a.data());
  argv.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    dup2(to[0], 0);
    dup2(from[1], 1);
    execv(path.c_str(), argv.data());
    _exit(127);
  }
  close(to[0]);
  close(from[1]);
  in_ = to[1];
  out_ = from[0];
  fcntl(out_, F_SETFL, O_NONBLOCK);
}

child::~child() {
  kill();
  close(in_);
  close(out_);
}

void child::kill() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void child::write(const std::string& text) {
  if (::write(in_, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    throw std::runtime_error("cannot write to the child");
}

void child::read_more() {
  char buffer[4096];
  for (ssize_t n; (n = ::read(out_, buffer, sizeof buffer)) > 0;) rest_.append(buffer, static_cast<std::size_t>(n));
  for (std::size_t end; (end = rest_.find('\n')) != std::string::npos; rest_.erase(0, end + 1))
    lines_.push_back(rest_.substr(0, end));
}

bool child::line_with(const std::string& start, std::size_t skip, std::string& line) {
  read_more();
  for (const auto& l : lines_) {
    if (l.compare(0, start.size(), start) != 0) continue;
    if (skip-- > 0) continue;
    line = l;
    return true;
  }
  return false;
}

bool child::wait_for(const std::string& line, std::chrono::milliseconds limit) {
  std::string found;
  return eventually([&] { return line_with(line, 0, found); }, limit);
}

void child::stop() { ::kill(pid_, SIGSTOP); }
void child::wake() { ::kill(pid_, SIGCONT); }

} // namespace chute::test
