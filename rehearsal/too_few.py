"""Find what clients' policies would refuse of their rows at any model, before anything starts."""

from __future__ import annotations

import math
from typing import Final

from rehearsal.data import Silos
from runtime.client.privacy_policy import LEAST_EFFECTIVE, PrivacyPolicy
from runtime.contract import ExitCode, FedstackError
from runtime.tabular.columns.rare import with_few
from runtime.tabular.data.preparation import prepare
from runtime.tabular.server.settings import RunSettings

SHOWN: Final = 5
FEWEST: Final = math.ceil(LEAST_EFFECTIVE)
VALIDATION: Final = float(RunSettings.model_fields["validation"].default)


def refuse(silos: Silos, seed: int) -> None:
    """Refuse silos whose rows no client of the default policy would answer with.

    Parameters
    ----------
    silos
        Of a rehearsal, whose clients all have to take part.
    seed
        Of the clients' splits.

    Raises
    ------
    FedstackError
        With ExitCode.DATA, naming silos, rows and columns.
    """
    least, faults = PrivacyPolicy.min_rows, list[str]()
    for name, rows in silos.silos.items():
        prepared = prepare(rows, validation=VALIDATION, smote=False, seed=seed, fewest=FEWEST)
        if prepared.original_rows < least:
            faults.append(f"{name} would train on {prepared.original_rows} rows")
        elif few := with_few(prepared.train, FEWEST):
            more = f" and {len(few) - SHOWN} more" if len(few) > SHOWN else ""
            faults.append(f"{name} has only one or two rows with some value of {_listed(few)}{more}")
    if faults:
        more = f"; and {len(faults) - SHOWN} silos more" if len(faults) > SHOWN else ""
        raise FedstackError(
            ExitCode.DATA,
            f"The clients would refuse to answer: {'; '.join(faults[:SHOWN])}{more}. A client answers with "
            f"{least} rows or more, and no sum may tell fewer than {FEWEST} rows apart from the others.",
            "Take more rows or fewer --clients, cut them otherwise (--split iid), give such a column the "
            "role ignore, or join its rare values; of a time, make the cells of its grid wider.",
        )


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names[:SHOWN]))
