"""The reference page of markets, from the tables of exchanges, pairs and indices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from generators.names import EXCHANGES, PAIRS, resolve
from generators.tables import table

HEAD = """# Markets

The name of a symbol leads to one spelling, Yahoo's, and to the calendar of its market. A name
without a market in these tables is refused (`invalid_symbol`), never guessed at. This page is made
from the tables at each build.

| written | spelling | market |
|---|---|---|
| `MSFT`, `MSFT.US`, `NASDAQ:MSFT` | `MSFT` | New York: one to five letters |
| `BRK.B`, `BRK/B`, `BRK-B` | `BRK-B` | New York, a class of shares |
| `VALE3`, `PETR4F`, `SANB11`, `AAPL34`, `BOVA11` | `VALE3.SA`, `PETR4F.SA`, … | B3: lots, \
fractional lots, units, receipts, funds |
| `IBOV` | `^BVSP` | B3, an index |
| `REI.UN.TO` | `REI-UN.TO` | the exchange of the suffix |
| `BTCUSDT`, `BTC/USDT`, `BTC_USDT`, `BTC-USDT` | `BTC-USDT` | coins, every day |
| `XBTUSD`, `XXBTZUSD` | `BTC-USD` | coins, every day |
| `EURUSD`, `EUR/USD`, `EURUSD=X` | `EURUSD=X` | currencies, Monday to Friday |
| `BRL=X` | `USDBRL=X` | currencies, Monday to Friday |

Without a mark between them, the parts of a pair of coins are known if the pair ends in `USDT`,
`USDC` or `FDUSD`, or if it has six letters or more and begins with a known coin: `OPUSD` is a share
in New York, `OP-USD` a coin. Futures (`GC=F`), perpetual contracts (`BTC-PERP`) and yields (`^TNX`)
have no row: their sessions are not those of one calendar.

"""

OWN = """## Other markets

`CLOSECAST_MARKETS` names the calendar of any symbol, and comes before the tables. In a name, `*`
and `?` stand for any characters; a kind (`stock`, `index`, `coin`, `currency`, `future`) may follow
the calendar:

```text
CLOSECAST_MARKETS='ACME=BVMF,GC=F=CMES:future,*-PERP=24/7'
```

A column `exchange`, `market` or `mic` of a file does the same for a symbol that no table knows
(`B3`, `Nasdaq`, `XLON`). It is kept in the folder `markets` of the data folder, for the service
that reads no file. A column that contradicts New York is refused, for the setting to decide.

A program of its own calls `use_markets(Settings())` of `closecast.sources.market_cache` once.

Closes under a name without suffix that fit another exchange clearly better than New York (rows
with new closes on its holidays, its sessions missing) are refused with the suffix to write.

"""


def page() -> str:
    """Tables of suffixes, pairs, indices, and calendars."""
    suffixes = resolve(f"{EXCHANGES}:SUFFIXES")
    indices = resolve(f"{EXCHANGES}:INDICES")
    without = resolve(f"{EXCHANGES}:WITHOUT_CALENDAR")
    parts = [
        HEAD,
        OWN,
        "## Suffixes\n\nCalendar codes are those of the package `exchange_calendars`.\n\n",
        table(("calendar", "suffixes"), _by_calendar({f".{s}": c for s, c in suffixes.items()})),
        "No calendar can be computed for "
        + ", ".join(f"`.{suffix}` ({place})" for suffix, place in sorted(without.items()))
        + ".\n\n## Indices\n\n`^NAME.SUFFIX` has the calendar of the suffix. Most of B3's are "
        "known without the suffix, too.\n\n",
        table(("calendar", "indices"), _by_calendar(indices)),
        "## Pairs\n\nCoins may be priced in " + _listed(resolve(f"{PAIRS}:QUOTES")) + ".\n\n",
        "Currencies: " + _listed(resolve(f"{PAIRS}:CURRENCIES")) + ".\n\n",
        "Coins that are known without a mark: " + _listed(resolve(f"{PAIRS}:COINS")) + ".\n\n",
        "## Calendars\n\n" + _listed(resolve(f"{EXCHANGES}:CALENDARS")) + "\n",
    ]
    return "".join(parts)


def _by_calendar(calendars: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    names: dict[str, list[str]] = defaultdict(list)
    for name, calendar in calendars.items():
        names[calendar].append(name)
    return [(f"`{calendar}`", _listed(names[calendar])) for calendar in sorted(names)]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
