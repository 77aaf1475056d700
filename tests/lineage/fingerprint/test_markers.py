"""Environment markers of requirements, as far as they are looked into."""

from __future__ import annotations

import sys

import pytest

from lineal.fingerprint.markers import may_hold


@pytest.mark.parametrize(
    "marker",
    [
        'python_version < "3"',
        " python_version<'3.11' ",
        'extra == "x" and python_version < "3.0"',
        f'sys_platform != "{sys.platform}"',
        'implementation_name == "of another world"',
    ],
)
def test_what_surely_does_not_hold_is_said(marker: str) -> None:
    assert not may_hold(marker)


@pytest.mark.parametrize(
    "marker",
    [
        "",
        'python_version >= "3.11"',
        f'sys_platform == "{sys.platform}"',
        'extra == "x"',
        'python_version < "3" or extra == "x"',
        '(python_version < "3")',
        'platform_machine == "of another world"',
        'python_version not in "2.7"',
    ],
)
def test_anything_else_is_taken_to_hold(marker: str) -> None:
    assert may_hold(marker)
