"""Programs that a test of the journal runs in a process of its own."""

from __future__ import annotations

import textwrap

#: Writes and prints how far it came, until it is killed.
WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from openmb.controller.journal import UPGRADES, SQLiteJournal
    from openmb.controller.journalfile import VERSION
    from openmb.operations.journal import Entry, Step
    from openmb.wire.messages import Peer, Sort
    version = int(sys.argv[3])
    journal = SQLiteJournal(Path(sys.argv[1]), version, {**UPGRADES, VERSION: lambda database: None})
    number = int(sys.argv[2])
    while True:
        number += 1
        step = Step.COMMIT if number % 2 else Step.CLOSED
        ends = Peer("a", b"a" * 16), Peer("b", b"b" * 16)
        journal.write(Entry(number, step, *ends, "tcp", bytes(16), reason="finished"))
        print(number, flush=True)
    """
)

#: Opens a journal, puts itself into the background as twistd does, writes there, prints its process id, and waits.
DAEMON = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from openmb.controller.journal import SQLiteJournal
    from openmb.operations.journal import Entry, Step
    from openmb.wire.messages import Peer, Sort
    journal = SQLiteJournal(Path(sys.argv[1]))
    for _ in range(2):
        if os.fork():
            os._exit(0)
    journal.write(Entry(1, Step.OPEN, Peer("a", b"a" * 16), Peer("b", b"b" * 16), "tcp", bytes(16)))
    print(os.getpid(), flush=True)
    signal.pause()
    """
)
#: Writes until no file may grow any more, says what it was told, gets room, and goes on.
FILLER = textwrap.dedent(
    """
    import resource, sys
    from pathlib import Path
    from openmb.controller.journal import SQLiteJournal
    from openmb.errors import OperationError
    from openmb.operations.journal import Entry, Step
    from openmb.wire.messages import Peer, Sort
    journal = SQLiteJournal(Path(sys.argv[1]))
    ends = Peer("a", b"a" * 16), Peer("b", b"b" * 16)
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, most))
    number = 0
    try:
        while number < 10_000:
            journal.write(Entry(number + 1, Step.OPEN, *ends, "tcp", bytes(16)))
            number += 1
    except OperationError as error:
        print(error.refusal.name, number)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    journal.write(Entry(1 << 40, Step.OPEN, *ends, "tcp", bytes(16)))
    print(len(journal.unfinished()))
    """
)
