"""Ten shapes of twelve numbers, padded, stretched, moved, sheared and made noisy: a data set as
telling as MNIST and a twentieth of its size (Greydanus & Kobak 2020, 2011.14439)."""

import numpy as np
import torch

from sgdtheory.annotations import NonNegativeInt, PositiveInt
from sgdtheory.data.draw import draws_of
from sgdtheory.data.examples import Examples

# the digits, drawn by hand (Greydanus & Kobak 2020, Figure 2)
SHAPES = np.array(
    [
        [5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5],
        [5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5],
        [5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5],
        [5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5],
        [5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5],
        [5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5],
        [5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5],
        [5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5],
        [5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5],
        [5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5],
    ]
)
# the parameters of the paper's Appendix A and of its code
PADDING = (36, 60)  # zeros behind a shape
SCALES = 0.4  # spread of its height, relative
SHIFTS = 48  # places that it is moved by, at most
CORRELATED = 0.25  # noise where there is no shape
CORRELATION = 2.0  # its width in places
INDEPENDENT = 0.02  # noise everywhere
SHEAR = 0.75  # spread of the slope
LENGTH = 40  # numbers of an example
TRAIN_SHARE = 0.8


def mnist1d(examples: PositiveInt = 5000, draw: NonNegativeInt = 42) -> Examples:
    """`examples` curves float32 [N, 40] of mean 0 and variance 1 in ten classes, four fifths of
    them for training, made by the paper's recipe from the seed `draw`; not the paper's own draws.
    """
    generator = draws_of(draw)
    classes = len(SHAPES)
    labels = generator.permutation(np.arange(examples) % classes)
    signals = [_placed(shape, generator) for shape in SHAPES[labels]]
    curves = _noisy(np.stack(signals), generator)
    curves = (curves - curves.mean()) / curves.std()
    inputs = torch.from_numpy(curves).float()
    targets = torch.from_numpy(labels)
    cut = round(TRAIN_SHARE * examples)
    train = (inputs[:cut], targets[:cut])
    test = (inputs[cut:], targets[cut:])
    return Examples(*train, *test, classes, "MNIST-1D")


def _placed(shape: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A shape [12] of mean 0 and variance 1/36, padded, stretched, scaled and moved, [72]."""
    signal = (shape - shape.mean()) / shape.std()
    signal = (signal - signal[0]) / 6
    signal = signal + 1e-8  # a shape's own zeros are no padding
    fewest, most = PADDING
    zeros = generator.integers(fewest, most + 1)
    padded = np.append(signal, np.zeros(zeros))
    stretched = _stretched(padded, len(shape) + most)
    scale = 1 + SCALES * (generator.random() - 0.5)
    shift = generator.integers(SHIFTS)
    placed: np.ndarray = np.roll(stretched * scale, shift)
    return placed


def _noisy(signals: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Curves [N, 40] from signals [N, 72]: noise with a correlation where there is no shape,
    independent noise everywhere, and a slope."""
    from scipy.ndimage import gaussian_filter1d  # here, because importing it costs time

    count, length = signals.shape
    noise = CORRELATED * generator.standard_normal(signals.shape)
    correlated = gaussian_filter1d(noise, CORRELATION, axis=1)
    curves = np.where(signals != 0, signals, correlated)
    independent = INDEPENDENT * generator.standard_normal(signals.shape)
    curves = curves + independent
    slopes = SHEAR * (generator.random((count, 1)) - 0.5)
    places = np.linspace(-0.5, 0.5, length)
    curves = curves - slopes * places
    stretched = [_stretched(curve, LENGTH) for curve in curves]
    return np.stack(stretched)


def _stretched(curve: np.ndarray, length: int) -> np.ndarray:
    """A curve [m] at `length` places, linear between its own."""
    count = len(curve)
    places = np.linspace(0, count - 1, length)
    own = np.arange(count)
    stretched: np.ndarray = np.interp(places, own, curve)
    return stretched
