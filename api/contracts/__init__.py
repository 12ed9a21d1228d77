"""Contracts of other systems: the requests and answers of their clients.

One file per system, with a ``router`` in :data:`CONTRACTS`. A contract translates to the same
services as :mod:`api.routes`; it decides nothing. Bodies of other systems for a path of ours are
read in :mod:`api.contracts.other_names`.
"""

from fastapi import APIRouter

from api.contracts import closings

CONTRACTS: tuple[APIRouter, ...] = (closings.router,)
"""Routers of the contracts, included after those of :mod:`api.routes`."""
