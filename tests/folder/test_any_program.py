"""After any commands on a session, its folder agrees with the records (P3)."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from eventlog import (
    ConflictError,
    Finalizer,
    InvalidError,
    Log,
    Message,
    NonRetryableError,
    RetryPolicy,
    Session,
    Summary,
    SummaryRequest,
    Worker,
)
from eventlog.projections import folder_files
from eventlog.projections.folder_layout import LOCK
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.disk.disk import Disk
from eventlog.testing.disk.files import DiskFiles
from eventlog.testing.identifiers import NumberedIds
from tests.shares import examples

FOLDER = "/chat"
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
STEPS = st.one_of(
    st.tuples(st.just("say"), TEXT),
    st.tuples(st.just("call"), TEXT),
    st.tuples(st.just("answer"), TEXT),
    st.tuples(st.just("commit"), st.integers(0, 3)),
    st.tuples(st.sampled_from(["work", "fail"]), st.none()),
    st.tuples(st.sampled_from(["retry", "abandon"]), st.integers(1, 3)),
    st.tuples(st.sampled_from(["elsewhere", "reopen", "full"]), st.none()),
)


class Place:
    """A session with a folder, and another process that writes to the session."""

    def __init__(self) -> None:
        self.store, self.disk, self.clock = MemoryStore(), Disk(), FakeClock()
        self.ids, self.calls = NumberedIds(), 0
        self.rival = self.open()
        self.log = self.open()
        self.session.attach_folder(FOLDER)

    def open(self) -> Log:
        return Log(self.store, clock=self.clock, ids=self.ids, files=DiskFiles(self.disk))

    @property
    def session(self) -> Session:
        return self.log.session("chat", create=True, failed_archives="skip")

    def take(self, name: str, value: object) -> None:
        """Do one thing; what the session refuses changes nothing."""
        self.clock.advance(2)
        with suppress(ConflictError, InvalidError):
            getattr(self, name)(value)

    def say(self, text: str) -> None:
        self.session.append(Message.user(text))

    def call(self, text: str) -> None:
        self.calls += 1
        part = Message.call("look", {"for": text}, tool_id=f"c{self.calls}")
        self.session.append(Message.assistant(tools=(part,), id=f"m{self.calls}"))

    def answer(self, text: str) -> None:
        self.session.record_tool_result(f"m{self.calls}", f"c{self.calls}", text)

    def commit(self, keep: int) -> None:
        self.session.commit(keep)

    def work(self, _: object, *, fails: bool = False) -> None:
        def summarize(request: SummaryRequest) -> Summary:
            if fails:
                raise NonRetryableError("too long")
            return Summary(overview=f"# {request.archive_id}", abstract=f"{len(request.messages)}")

        finalizer, once = Finalizer(summarizer=summarize), RetryPolicy(attempts=1)
        Worker(self.log, finalizer, concurrency=1, retry=once).run_once()

    def fail(self, _: object) -> None:
        self.work(None, fails=True)

    def retry(self, archive: int) -> None:
        self.session.retry(f"archive_{archive:03d}")

    def abandon(self, archive: int) -> None:
        self.session.abandon(f"archive_{archive:03d}")

    def elsewhere(self, _: object) -> None:
        other = self.rival.session("chat", follow_folder=False)
        other.append(Message.user("from elsewhere"))
        other.commit()
        self.session.refresh()

    def reopen(self, _: object) -> None:
        self.log.close()
        self.log = self.open()
        assert self.session.folder is not None
        assert self.session.folder.owned

    def full(self, _: object) -> None:
        """The disk is full at the next step, and has room a little later."""
        self.disk.steps.fail(self.disk.steps.count + 1, "full")
        self.session.append(Message.user("no room"))
        self.disk.steps.spare()
        self.clock.advance(2)
        self.session.refresh()

    def files(self) -> dict[str, bytes]:
        found = {path.removeprefix(f"{FOLDER}/"): data for path, data in self.disk.files().items()}
        return {path: data for path, data in found.items() if path[-1:] not in ("", "/")}


@examples(30, 4_000)
@given(st.lists(STEPS, max_size=12))
def test_the_files_are_what_the_records_say_after_every_step(
    steps: list[tuple[str, object]],
) -> None:
    place = Place()
    for name, value in steps:
        place.take(name, value)
        files = place.files()
        assert files.pop(LOCK) == b""
        assert files == folder_files(place.log.read("chat")), name
    assert place.session.heal(FOLDER).findings == ()
    place.log.close()
    place.rival.close()
