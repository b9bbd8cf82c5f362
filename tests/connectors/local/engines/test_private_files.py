"""Files and folders of a stack are closed to other users of the machine, whatever the umask is and
whatever was there before.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.local.engines import private_files
from connectors.local.engines.process import Process
from connectors.local.stack import home_folder
from connectors.local.stack.home import Home
from connectors.local.stack.home_folder import HomeError


@pytest.fixture(autouse=True)
def generous_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return path.lstat().st_mode & 0o777


def test_a_file_is_private_from_the_start_and_replaced_at_once(tmp_path: Path) -> None:
    file, draft = tmp_path / "secrets.env", tmp_path / "secrets.env.new"
    draft.write_text("left by a writer that was killed")
    file.write_text("for everybody")
    with file.open() as reader:
        private_files.write(file, "private")
        assert reader.read() == "for everybody"
    assert (file.read_text(), _mode(file)) == ("private", 0o600)
    assert not draft.exists()


def test_a_draft_that_is_a_link_to_elsewhere_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("kept")
    (tmp_path / "f.new").symlink_to(elsewhere)
    private_files.write(tmp_path / "f", "private")
    assert elsewhere.read_text() == "kept"


def test_everything_in_a_folder_is_closed_but_what_links_lead_to(tmp_path: Path) -> None:
    inside, outside = tmp_path / "home", tmp_path / "outside"
    (inside / "deep" / "er").mkdir(parents=True)
    outside.mkdir()
    for file in (inside / "a", inside / "deep" / "er" / "b", outside / "c"):
        file.touch()
    (inside / "a").chmod(0o755)
    (inside / "link").symlink_to(outside / "c")
    (inside / "way").symlink_to(outside)
    private_files.close_all(inside)
    assert {_mode(path) for path in (inside, inside / "deep", inside / "deep" / "er")} == {0o700}
    assert (_mode(inside / "a"), _mode(inside / "deep" / "er" / "b")) == (0o700, 0o600)
    assert (_mode(outside), _mode(outside / "c")) == (0o777, 0o666)


def test_what_a_child_writes_is_private(tmp_path: Path) -> None:
    program = f"import pathlib; pathlib.Path({str(tmp_path / 'made')!r}).touch(); print('said')"
    child = Process([sys.executable, "-c", program], tmp_path / "logs" / "child.log")
    assert child.wait(timedelta(seconds=300))
    assert _mode(tmp_path / "made") == 0o600
    assert _mode(tmp_path / "logs" / "child.log") == 0o600


def test_a_home_is_closed_when_it_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    (folder / "kafka").mkdir(parents=True)
    (folder / "kafka" / "record").touch()
    Home(folder, 21_000, {}).make_secrets()
    made = set(folder.rglob("*"))
    assert {path.name for path in made} == {"kafka", "record", "logs", "ready", "secrets.env"}
    assert not any(_mode(path) & 0o077 for path in (folder, *made))


def test_other_things_in_the_folder_of_a_home_stay_as_they_are(tmp_path: Path) -> None:
    shared = tmp_path / "project"
    shared.mkdir(0o775)
    (shared / "readme").touch()
    Home(shared, 21_000, {}).make_secrets()
    assert (_mode(shared), _mode(shared / "readme")) == (0o775, 0o666)
    assert {_mode(shared / name) for name in ("logs", "ready")} == {0o700}
    assert _mode(shared / "secrets.env") == 0o600


def test_a_folder_that_everybody_may_write_to_is_no_home(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "readme").touch()
    with pytest.raises(HomeError, match="every user of this machine may write to"):
        Home(shared, 21_000, {}).make()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_no_home(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65_534, 65_534)
    with pytest.raises(HomeError, match="belongs to another user"):
        Home(theirs, 21_000, {}).make()


def test_a_home_that_cannot_be_made_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeError, match=r"file/home cannot be written \(Not a directory\)"):
        home_folder.make(tmp_path / "file" / "home")
