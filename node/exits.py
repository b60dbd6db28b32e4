"""How the process ends, so that scripts and systemd can tell one failure from another."""

from typing import ClassVar

from protocol.errors import NodeError

OK = 0
USAGE = 2  # a wrong command line, settings file or network file
OCCUPIED = 3  # a port or the data directory belongs to another process
STORE = 4  # the store is corrupt, written by a newer version, or cannot be written
KEY = 5  # the key file or its password is missing, wrong or unreadable
CHAIN = 6  # the chain cannot be reached, is another chain, or the account has no funds
BUG = 70  # a bug, or a shutdown that did not end in time
INTERRUPTED = 130  # a second Ctrl-C

TABLE = """Exit codes: 0 fine; 2 wrong command line or settings; 3 a port or the data directory
is taken; 4 the store is unusable; 5 key or password trouble; 6 the chain is unreachable or the
account has no funds; 70 a bug (the traceback says where); 130 forced by a second Ctrl-C."""


class Fault(NodeError):
    """An expected trouble that ends the process: one sentence with what, where and what to do."""

    code: ClassVar[int] = USAGE


class WrongSettings(Fault):
    code = USAGE


class Occupied(Fault):
    code = OCCUPIED


class KeyTrouble(Fault):
    code = KEY


class ChainTrouble(Fault):
    code = CHAIN


class Note(Fault):
    """Nothing that keeps a node from running; something that its operator may not have meant."""

    code = OK
