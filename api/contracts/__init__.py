"""Contracts of other serving systems: routes in the request and answer formats of their clients.

One file per system, with a ``router`` in :data:`CONTRACTS`. A contract translates to the same
services as :mod:`api.routes`; it decides nothing.
"""

from fastapi import APIRouter

CONTRACTS: tuple[APIRouter, ...] = ()
"""Routers of the contracts, included after those of :mod:`api.routes`."""
