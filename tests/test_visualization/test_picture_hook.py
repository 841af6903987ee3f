"""Pictures of a test run."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from mmdet.structures import DetDataSample
from PIL import Image

from unimask.engine.hooks import PictureHook


class Dataset:
    """As MMEngine's datasets."""

    metainfo = dict(classes=('cat',))

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def get_data_info(self, index: int) -> dict:
        return dict(img_path=self.paths[index])


def draw(dataset: object, paths: list[str], out_dir: Path, **options) -> list[str]:
    """Names of the files that a test run would write, in order."""
    written: list[str] = []
    visualizer = SimpleNamespace(
        add_datasample=lambda name, image, out_file, **_: written.append(out_file))
    runner = SimpleNamespace(
        visualizer=visualizer, test_dataloader=SimpleNamespace(dataset=dataset))
    hook = PictureHook(out_dir=str(out_dir), **options)
    hook.before_test(runner)
    for path in paths:
        hook.after_test_iter(runner, 0, outputs=[DetDataSample(metainfo=dict(img_path=path))])
    return [str(Path(file).relative_to(out_dir)) for file in written]


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    found = []
    for name in ('a/x.png', 'b/x.png', 'a/y.png', 'a/z.jpg', 'a/z.png'):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new('RGB', (4, 4)).save(path)
        found.append(str(path))
    return found


def test_no_picture_overwrites_another(paths: list[str], tmp_path: Path):
    names = ['a_x.png', 'b_x.png', 'y.png', 'z_jpg.png', 'z_png.png']
    assert draw(Dataset(paths), paths, tmp_path / 'out') == names
    # The names do not depend on which images are drawn, or in which order.
    assert draw(Dataset(paths), paths[::-1], tmp_path / 'out') == names[::-1]
    assert draw(Dataset(paths), paths, tmp_path / 'out', interval=2) == names[::2]


def test_images_that_the_dataset_does_not_tell(paths: list[str], tmp_path: Path):
    plain = SimpleNamespace(metainfo=dict(classes=('cat',)))
    names = draw(plain, paths, tmp_path / 'out')
    assert len(set(names)) == 5 and names[0].endswith('_x.png')
