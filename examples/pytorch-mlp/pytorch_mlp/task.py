"""The network, its data, and how both are trained and scored."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Array = npt.NDArray[np.float32]


def load(path: str, label: str) -> tuple[Array, Array]:
    """Read a table: its features as log(1 + x), shape (n, d), and the labels of one column, shape (n,)."""
    file = next(Path(path).glob("*.csv")) if Path(path).is_dir() else Path(path)
    with file.open(newline="") as lines:
        names, *rows = csv.reader(lines)
    table, at = np.asarray(rows, dtype=np.float64), names.index(label)
    return np.log1p(np.delete(table, at, axis=1)).astype(np.float32), table[:, at].astype(np.float32)


def network(features: int, hidden: int, seed: int) -> nn.Module:
    """Make the network; the same weights everywhere for the same seed."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 1))


def fit(
    net: nn.Module, x: Array, y: Array, *, epochs: int, batch_size: int, learning_rate: float, seed: int
) -> float:
    """Train on standardised features and return the mean loss of the last epoch."""
    torch.set_num_threads(1)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    optimiser = torch.optim.Adam(net.parameters(), lr=learning_rate)
    measure = nn.BCEWithLogitsLoss()
    shuffle = torch.Generator().manual_seed(seed)
    total = 0.0
    for _ in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(inputs), generator=shuffle).split(batch_size):
            optimiser.zero_grad()
            loss = measure(net(inputs[batch])[:, 0], labels[batch])
            loss.backward()
            optimiser.step()
            total += loss.item() * len(batch)
    return total / len(inputs)


def scores(net: nn.Module, x: Array, y: Array) -> dict[str, float]:
    """Return log loss and ROC-AUC, the share of pairs that are in the right order."""
    with torch.no_grad():
        margin = net(torch.from_numpy(x))[:, 0]
    loss = nn.functional.binary_cross_entropy_with_logits(margin, torch.from_numpy(y)).item()
    positive, negative = margin[y == 1][:, None], margin[y == 0][None, :]
    pairs = (positive > negative).float() + 0.5 * (positive == negative).float()
    return {"log_loss": loss, "roc_auc": pairs.mean().item()}
