"""Images of one's own: an .npz pack, or a folder of pictures. A bad one is refused with what is wrong in it."""

from sgdtheory.data.folder_pack import read_folder
from sgdtheory.data.images import Augment, Images, Scaling
from sgdtheory.data.npz_pack import read_npz
from sgdtheory.faults import Mistake
from sgdtheory.kinds import ContentPath, Count


def images(
    path: ContentPath,
    limit: Count | None = None,
    augment: Augment = "none",
    padding: Count = 4,
    scaling: Scaling = "standard",
) -> Images:
    """Images from `path`, the first `limit` of both splits (None: all), in one of three forms:

    - `.npz` with uint8 `train_images` [N, H, W] or [N, H, W, C], integer `train_labels` [N], and `test_…` likewise;
    - `.npz` with `jpeg`, uint8 of JPEG files end to end, `offsets` int64 [N+1], `labels` [N], `train_count` (that many
      come first and are for training) and `classes` (their names, or how many);
    - a folder `train/<class>/*.png|jpg` and `test/<class>/…`; classes are numbered in the order of their names.
    """
    if not path.exists():
        raise Mistake(f"data.path={path}: no such file or folder")
    if path.is_dir():
        train, test, classes = read_folder(path)
    else:
        train, test, classes = read_npz(path)
    found = Images.from_arrays(train, test, classes, path.stem, augment, padding, scaling)
    return found if limit is None else found.subset(limit, limit)
