"""Only who can read the node's data folder spends the operator's money; others may still give."""

from pathlib import Path

import pytest

from node.exits import WrongSettings
from node.http.operator import TOKEN, Guard, operator_token
from tests.unit.test_curator_http import BEARER, CONTRIBUTIONS, JOB, JOBS, OURS, Desk, contribution

PUBLISH = "/v1/datanets/1/publish"
STRANGERS = [
    {},
    {"Authorization": ""},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer wrong"},
    {"Authorization": BEARER["Authorization"] + "x"},
    {"Authorization": BEARER["Authorization"][:-1]},
    {"Authorization": BEARER["Authorization"].replace("Bearer", "Basic")},
    {"Authorization": BEARER["Authorization"].removeprefix("Bearer ")},
]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize("headers", STRANGERS, ids=range(len(STRANGERS)))
@pytest.mark.parametrize(("path", "body"), [(OURS, {"name": "x"}), (PUBLISH, {}), (JOBS, JOB)])
async def test_a_stranger_spends_nothing(
    desk: Desk, path: str, body: object, headers: dict[str, str]
) -> None:
    await desk.ask("POST", CONTRIBUTIONS, contribution(desk))
    before = dict(desk.office.disk.rows)
    status, said = await desk.ask("POST", path, body, headers)
    assert (status, said["error"]["type"]) == (401, "unauthorized")
    assert TOKEN in said["error"]["message"]
    assert desk.office.disk.rows == before

    assert (await desk.ask("POST", path, body, BEARER))[0] != 401


async def test_contributing_and_looking_are_open_to_all(desk: Desk) -> None:
    assert (await desk.ask("POST", CONTRIBUTIONS, contribution(desk), {}))[0] == 201
    assert (await desk.ask("GET", OURS, None, {}))[0] == 200
    assert (await desk.ask("GET", JOBS, None, {}))[0] == 200


def test_the_token_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    token = operator_token(tmp_path)
    assert operator_token(tmp_path) == token
    assert len(token) > 40
    assert (tmp_path / TOKEN).stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [TOKEN]
    assert token not in repr(Guard(token))
    (tmp_path / "other").mkdir()
    assert operator_token(tmp_path / "other") != token


def test_a_draft_that_a_crash_left_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "operator.draft").write_text("half")
    (tmp_path / "operator.draft").chmod(0o666)
    token = operator_token(tmp_path)
    assert token != "half"
    assert (tmp_path / TOKEN).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("data", [b"", b"short\n", b"x" * 300, b"\xff" * 30, b"two\nlines" * 3])
def test_a_token_that_cannot_be_one_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / TOKEN).write_bytes(data)
    with pytest.raises(WrongSettings, match=r"operator\.token"):
        operator_token(tmp_path)


def test_an_operator_may_write_his_own(tmp_path: Path) -> None:
    (tmp_path / TOKEN).write_text("correct horse battery staple\n")
    assert operator_token(tmp_path) == "correct horse battery staple"
