"""A small neural network: one hidden layer, by scikit-learn's MLPClassifier."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.neural_network import MLPClassifier

from runtime.tabular.models.base import AVERAGING, Arrays, Fit, Model

HIDDEN: Final = (16,)


class Perceptron(Model):
    """`weights0` (d, 16), `bias0` (16,), `weights1` (16, 1), `bias1` (1,)."""

    strategies: ClassVar[frozenset[str]] = AVERAGING - {"fedprox"}  # its solver takes no proximal term

    def initial(self, features: int, seed: int) -> Arrays:
        """Return scikit-learn's own random start, the same for every client."""
        return _arrays(_begun(features, Fit(seed=seed)))

    def fit(self, arrays: Arrays, z: npt.NDArray[np.float64], y: npt.NDArray[np.int64], how: Fit) -> Arrays:
        """Pass over the silo `iterations` times with Adam."""
        network = self._network(arrays, z.shape[1], how)
        for _ in range(how.iterations):
            network.partial_fit(z, y)
        return _arrays(network)

    def estimator(self, arrays: Arrays, features: int) -> BaseEstimator:
        """Return scikit-learn's MLPClassifier."""
        return self._network(arrays, features, Fit())

    def alone(
        self, z: npt.NDArray[np.float64], y: npt.NDArray[np.int64], how: Fit, rounds: int
    ) -> BaseEstimator:
        """Pass over the data as often as all rounds together would."""
        network = _begun(z.shape[1], how)
        for _ in range(rounds * how.iterations):
            network.partial_fit(z, y)
        return network

    def _network(self, arrays: Arrays, features: int, how: Fit) -> MLPClassifier:
        network = _begun(features, how)
        for layer in range(len(HIDDEN) + 1):
            network.coefs_[layer][...] = arrays[f"weights{layer}"]
            network.intercepts_[layer][...] = arrays[f"bias{layer}"]
        return network


def _begun(features: int, how: Fit) -> MLPClassifier:
    """Return a network of the right shape: scikit-learn draws its weights at the first partial fit.

    That fit sees two rows of zeros with learning rate nil, so the weights stay as drawn.
    """
    network = MLPClassifier(HIDDEN, alpha=1e-3, random_state=how.seed, learning_rate_init=1e-30)
    network.partial_fit(np.zeros((2, features)), np.array([0, 1]), classes=[0, 1])
    del network._optimizer  # so that the next partial fit makes one with the real rate
    network.set_params(learning_rate_init=1e-3)
    return network


def _arrays(network: MLPClassifier) -> Arrays:
    weights = {f"weights{layer}": np.array(array) for layer, array in enumerate(network.coefs_)}
    return weights | {f"bias{layer}": np.array(array) for layer, array in enumerate(network.intercepts_)}


MODEL = Perceptron()
