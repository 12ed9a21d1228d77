"""Pairs of coins and of currencies: one spelling each, ``BASE-QUOTE`` and ``EURUSD=X``."""

from __future__ import annotations

import re


def _names(*lines: str) -> frozenset[str]:
    return frozenset(name for line in lines for name in line.split())


CURRENCIES = _names(
    "AED ARS AUD BDT BGN BHD BOB BRL CAD CHF CLP CNH CNY COP CRC CZK DKK DOP EGP EUR GBP GHS HKD",
    "HUF IDR ILS INR ISK JOD JPY KES KRW KWD KZT LBP LKR MAD MXN MYR NGN NOK NZD OMR PEN PHP PKR",
    "PLN PYG QAR RON RSD RUB SAR SEK SGD THB TND TRY TWD TZS UAH UGX USD UYU UZS VND XAF XOF ZAR",
    "ZMW AMD AOA AZN BWP BYN DZD ETB GEL GTQ HNL IQD JMD MDL MKD MUR MZN NAD NIO NPR PAB RWF TTD",
    "XAU XAG XPT XPD",
)
"""Currencies (ISO 4217) that are traded against each other, with gold, silver and platinum."""

_STABLE = _names(
    "USDT USDC FDUSD TUSD BUSD USDP GUSD DAI PYUSD USDE USDS USDD USD1 USDG RLUSD HUSD UST AEUR",
    "EURC EURI EURT EURS BIDR IDRT BVND BRZ GYEN XSGD VAI",
)
_COIN_QUOTES = _names("BTC ETH BNB TRX XRP DOGE SOL DOT ADA LTC AVAX HT KCS OKB")

QUOTES = CURRENCIES | _STABLE | _COIN_QUOTES
"""Second parts of coin pairs: currencies, coins that follow one, and coins that others are
priced in."""

COINS = (
    _STABLE
    | _COIN_QUOTES
    | _names(
        "1INCH AAVE ACH AGIX AKT ALGO ALICE ALPHA AMP ANKR APE APT AR ARB ARKM ASTR ATOM AUDIO AXL",
        "AXS BAL BAND BAT BCH BCHA BLUR BNT BONK BSV BTG BTT BTTC CAKE CELO CELR CFX CHR CHZ CKB",
        "COMP COTI CRO CRV CSPR CTSI CVC CVX DASH DCR DGB DYDX EGLD EIGEN ELF ENA ENJ ENS EOS ETC",
        "ETHFI ETHW FET FIL FLOKI FLOW FLR FTM FTT FXS GALA GLM GMT GMX GNO GRT HBAR HIVE HNT HOT",
        "HYPE ICP ICX ILV IMX INJ IOST IOTA IOTX JASMY JST JTO JUP KAS KAVA KDA KLAY KNC KSM LDO",
        "LEO LINK LPT LRC LUNA LUNC MAGIC MANA MANTA MASK MATIC MEME MINA MKR MLN MNT NEAR NEO",
        "NEXO NMR NOT OCEAN OGN OM OMG ONDO ONE ONG ONT OP ORDI PAXG PENDLE PENGU PEOPLE PEPE",
        "POL PYTH QNT QTUM RAY REN RENDER REP REQ RNDR ROSE RPL RSR RUNE RVN SAND SC SEI SHIB SKL",
        "SNT SNX SPELL SSV STETH STG STORJ STRK STX SUI SUPER SUSHI SXP TAO TFUEL THETA TIA TON",
        "TRB TRUMP TWT UMA UNI VET WAVES WAXP WBTC WETH WIF WLD WOO XCH XDC XEC XEM XLM XMR XNO",
        "XTZ XVG YFI YGG ZEC ZEN ZIL ZK ZRO ZRX",
    )
)
"""Coins that are recognised before a currency without anything between: ``BTCUSD``."""

OTHER_NAMES = {"BTC": ("XBT",), "DOGE": ("XDG",)}
"""Coins, and the names that BitMEX and Kraken have for them."""

_MEANT = {other: coin for coin, others in OTHER_NAMES.items() for other in others}
_KRAKEN = re.compile(r"X([A-Z]{3})Z(USD|EUR|GBP|JPY|CAD)")
_PARTED = re.compile(r"([A-Z0-9]{1,12})([-/_:])([A-Z0-9]{3,5})")
_SHORTEST = 6  # five letters are a share of New York

# Endings that no share has: the coin before them need not be known.
_CLEAR_ENDINGS = ("FDUSD", "USDT", "USDC")
# Looked for in this order: BNBUSD is BNB against the dollar, not BN against BUSD.
_ENDINGS = (
    *_CLEAR_ENDINGS,
    *sorted(CURRENCIES),
    *sorted(QUOTES - CURRENCIES, key=lambda q: (-len(q), q)),
)


def pair_name(text: str) -> str | None:
    """One spelling of a pair, or ``None`` for what is none.

    Parameters
    ----------
    text : str
        Upper case: the parts with ``-``, ``/``, ``_``, ``:`` or nothing between, or Yahoo's
        ``EURUSD=X`` and ``BRL=X``.

    Examples
    --------
    >>> pair_name("BTCUSDT"), pair_name("BTC/USDT"), pair_name("EURUSD"), pair_name("BRL=X")
    ('BTC-USDT', 'BTC-USDT', 'EURUSD=X', 'USDBRL=X')
    >>> pair_name("MSFT") is None
    True
    """
    parts = _parts_of(text)
    if parts is None:
        return None
    base, quote = (_MEANT.get(part, part) for part in parts)
    if base == quote:
        return None
    return f"{base}{quote}=X" if {base, quote} <= CURRENCIES else f"{base}-{quote}"


def is_coin_pair(symbol: str) -> bool:
    """Answer True for ``BASE-QUOTE`` with a known quote."""
    base, _, quote = symbol.partition("-")
    return quote in QUOTES and re.fullmatch(r"[A-Z0-9]{1,12}", base) is not None


def is_currency_pair(symbol: str) -> bool:
    """Answer True for ``EURUSD=X`` and the like."""
    return symbol[6:] == "=X" and {symbol[:3], symbol[3:6]} <= CURRENCIES


def possible_pairs(text: str) -> list[str]:
    """List the pairs that a text without a separator may mean.

    >>> possible_pairs("XYZBUSD")
    ['XYZB-USD', 'XYZ-BUSD']
    """
    # Bitfinex writes a T before each pair.
    found = [pair_name(text[1:])] if text.startswith("T") else []
    found += [f"{text.removesuffix(q)}-{q}" for q in _ENDINGS if _ends_in(text, q)]
    return [pair for pair in found if pair is not None]


def _parts_of(text: str) -> tuple[str, str] | None:
    if text.endswith("=X"):
        name = text[:-2]
        base, quote = (name[:3], name[3:]) if len(name) == 6 else ("USD", name)
        return (base, quote) if {base, quote} <= CURRENCIES else None
    if parted := _PARTED.fullmatch(text):
        base, mark, quote = parted.groups()
        # Before a colon may stand an exchange: NASDAQ:BTC is no pair.
        is_pair = mark != ":" or _is_known(base)
        return (base, quote) if is_pair and _MEANT.get(quote, quote) in QUOTES else None
    if kraken := _KRAKEN.fullmatch(text):
        return kraken[1], kraken[2]
    if not text.isalnum() or len(text) < _SHORTEST - 1:
        return None
    for quote in _ENDINGS:
        if _ends_in(text, quote):
            base = text.removesuffix(quote)
            if quote in _CLEAR_ENDINGS or (len(text) >= _SHORTEST and _is_known(base)):
                return base, quote
    return None


def _is_known(base: str) -> bool:
    return base in COINS or base in CURRENCIES or base in _MEANT


def _ends_in(text: str, quote: str) -> bool:
    return text.endswith(quote) and 0 < len(text) - len(quote) <= 12
