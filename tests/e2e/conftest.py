# SPDX-License-Identifier: MIT
"""Marks of the scenarios.

waits: several seconds pass in which nobody does anything, because a time-out of the programs is waited for.
ctest runs these beside the others (`e2e.waits`); none of them may measure anything shorter than seconds.
"""


def pytest_configure(config):
    config.addinivalue_line("markers", "waits: for a time-out of the programs, doing nothing")
