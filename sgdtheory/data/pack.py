"""Images of one's own: an .npz pack, or a folder of pictures. A bad one is refused with what is
wrong in it."""

from pathlib import Path
from typing import Annotated

from sgdtheory.annotations import ContentOf, PositiveInt
from sgdtheory.data.folder_pack import pictures_of, read_folder
from sgdtheory.data.images import Augment, Images, Mean, Scaling, Spread
from sgdtheory.data.npz_pack import read_npz
from sgdtheory.errors import UserError


def images(
    path: Annotated[Path, ContentOf(pictures_of)],
    limit: PositiveInt | None = None,
    augment: Augment = "none",
    padding: PositiveInt = 4,
    scaling: Scaling = "standard",
    mean: Mean = None,
    std: Spread = None,
) -> Images:
    """Images from `path`, `limit` of each split drawn evenly over the classes (None: all), in one
    of three forms:

    - `.npz` with uint8 `train_images` [N, H, W] or [N, H, W, C], integer `train_labels` [N], and
      `test_…` likewise; or with floating ones, also [N, C, H, W]: the axis of at most four is the
      channels', and where that is not one alone, `layout` ("NHWC" or "NCHW") is to say it;
    - `.npz` with `jpeg`, uint8 of JPEG files end to end, `offsets` int64 [N+1], `labels` [N],
      `train_count` (that many
      come first and are for training) and `classes` (their names, or how many);
    - a folder `train/<class>/*.png|jpg|webp|bmp|gif|tif…` and `test/<class>/…`, or `val/<class>/…`;
      classes are numbered in
      the order of their names, pictures may lie in folders of a class.

    `mean`, `std`: what a channel is scaled by, in units of 255 (of floating pictures as they are),
    instead of what `scaling` says.

    """
    if not path.exists():
        raise UserError(f"data.path={path}: no such file or folder")
    told: tuple[str, ...] = ()
    if path.is_dir():
        train, test, classes, told = read_folder(path)
    elif path.is_file():
        train, test, classes = read_npz(path)
    else:
        raise UserError(f"data.path={path}: is no ordinary file but a pipe, a socket or a device")
    return Images.from_arrays(
        train, test, classes, path.stem, augment, padding, scaling, limit, told, mean, std
    )
