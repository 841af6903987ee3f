"""Checks of files: one message for many missing ones, none for remote ones."""

import pytest

from unimask.datasets.files import check_file, check_files, check_folder
from unimask.errors import UserError


def test_many_missing(tmp_path):
    (tmp_path / 'there').touch()
    paths = [str(tmp_path / name) for name in ('there', 'a', 'b', 'c', 'd', 'e')]
    with pytest.raises(UserError, match='Set: list names .* and 2 more') as error:
        check_files(paths, owner='Set', source='list')
    assert 'there,' not in str(error.value)
    check_files(paths[:1], owner='Set', source='list')


def test_remote_paths_are_not_looked_at():
    check_files(['s3://bucket/a.jpg'], owner='Set', source='list')
    check_file('s3://bucket/a.json', owner='Set', key='ann_file')
    check_folder('s3://bucket', owner='Set', key='data_prefix.img')
