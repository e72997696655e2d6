# SPDX-License-Identifier: MIT
"""Marks of the scenarios."""


def pytest_configure(config):
    config.addinivalue_line("markers", "measures: how old pictures are; ctest runs nothing beside it")
