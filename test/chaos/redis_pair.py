"""A Redis and a replica of it, which change places: of their own accord, or because the master was killed."""

import re
import threading

import harness
from harness import wait_until
from state_parts import Redis


class RedisPair:
    """The address is the master's, whichever of the two that is. A save counts once the replica has it (`state.replicas: 1`), and each
    of them syncs what it has, so that nothing that counted is lost with either."""

    LIMIT = 60  # seconds for what takes one when nothing else is busy

    def __init__(self, stage):
        self.stage, self.port, self.number, self.lock = stage, harness.free_port(), 0, threading.Lock()
        self.state = {"url": f"redis://127.0.0.1:{self.port}", "replicas": 1}
        self.master = self.serve(self.port)
        self.replica = self.follow()

    def serve(self, port, *options, folder=None):
        self.number += not folder
        folder = folder or self.stage.dir / f"redis-{self.number}"
        folder.mkdir(exist_ok=True)
        process = harness.Process(self.stage, folder.name, [
            "redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", folder, "--save", "", "--appendonly", "yes",
            "--appendfsync", "always", "--repl-diskless-sync-delay", 0, *options])
        process.folder, process.port = folder, port
        wait_until(lambda: self.info(port), self.LIMIT, f"the Redis on port {port} answers")
        return process

    def info(self, port):
        try:
            words = Redis(url=f"redis://127.0.0.1:{port}").ask("INFO", "replication").decode()
        except (OSError, ValueError, AssertionError):  # it loads what it has
            return {}
        return dict(line.split(":", 1) for line in words.splitlines() if ":" in line)

    def follow(self):
        replica = self.serve(harness.free_port(), "--replicaof", "127.0.0.1", self.port)
        self.in_step(replica)
        return replica

    def in_step(self, replica):
        """Only then may it take over: one that has not caught up yet lacks what counted before it came. The master notices it a little
        later than the replica, and refuses to change places until then."""
        def both():
            of = [line for name, line in self.info(self.port).items() if re.fullmatch(r"slave\d+", name)]
            there = any(f"port={replica.port}," in line and "state=online" in line for line in of)
            return there and self.info(replica.port).get("master_link_status") == "up"

        wait_until(both, self.LIMIT, "the replica is in step")

    def level(self):
        """Until the replica has what the master has now."""
        now = int(wait_until(lambda: self.info(self.master.port).get("master_repl_offset"), self.LIMIT, "the master answers"))
        wait_until(lambda: int(self.info(self.replica.port).get("slave_repl_offset", -1)) >= now, self.LIMIT, "the replica has it, too")

    def ask(self, process, *words):
        return Redis(url=f"redis://127.0.0.1:{process.port}").ask(*words)

    def move(self, process, port):
        self.ask(process, "CONFIG", "SET", "port", port)  # connections stay
        process.port = port

    # -- what happens to them ------------------------------------------------------------------------------------------

    def strike(self, trouble):
        """The master is away for a moment."""
        with self.lock:
            if trouble.dice.random() < 0.5:
                self.master.kill()
                self.stage.count("redis killed with -9")
                trouble.rest(0.2, 3)
                self.master = self.serve(self.port, folder=self.master.folder)
            else:
                self.master.pause()
                self.stage.count("redis stopped for seconds (SIGSTOP)")
                trouble.rest(0.2, 3)
                self.master.wake()
            self.in_step(self.replica)

    def fail_over(self, trouble):
        with self.lock:
            (self.by_force if trouble.dice.random() < 0.7 else self.as_asked)(trouble)

    def by_force(self, trouble):
        self.master.kill()
        trouble.rest(0, 2)  # with nobody at the address
        self.master = self.replica
        self.ask(self.master, "REPLICAOF", "NO", "ONE")
        self.move(self.master, self.port)
        self.stage.count("redis failed over: its master was killed")
        trouble.rest(0, 2)  # without a replica no save counts
        self.replica = self.follow()

    def as_asked(self, trouble):
        """The old master lives on as a replica, and with it the connections to it."""
        self.ask(self.master, "FAILOVER", "TO", "127.0.0.1", self.replica.port)
        wait_until(lambda: self.info(self.replica.port).get("role") == "master", self.LIMIT, "they have changed places")
        self.master, self.replica = self.replica, self.master
        self.move(self.replica, harness.free_port())
        self.move(self.master, self.port)
        self.ask(self.replica, "REPLICAOF", "127.0.0.1", self.port)
        self.stage.count("redis failed over: told to change places")
        self.in_step(self.replica)
